# What pROC says about score tables: Rscript proc.R FOLDER RESAMPLES
#
# In: FOLDER/CASE.csv with columns y_true, score_a, score_b, and FOLDER/CASE.thresholds.csv with column threshold.
# RESAMPLES of the bootstrap, 0 for none of it.
# Out, on standard output: lines "case,quantity,number,..." with 17 digits, NaN and Inf as R prints them.

suppressMessages(library(pROC))
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
resamples <- as.integer(arguments[2])
small <- 10000 # specimens up to which resampling takes seconds
ratios <- c("sensitivity", "specificity", "ppv", "npv", "accuracy")

say <- function(case, quantity, values)
  cat(paste(c(case, quantity, sprintf("%.17g", as.numeric(values))), collapse = ","), "\n", sep = "")

answer <- function(case) {
  table <- read.csv(file.path(folder, paste0(case, ".csv")))
  fit <- function(score) roc(table$y_true, score, levels = c(0, 1), direction = "<", quiet = TRUE)
  a <- fit(table$score_a)
  b <- fit(table$score_b)

  say(case, "auc", c(auc(a), auc(b)))
  say(case, "auc_delong_a", ci.auc(a, method = "delong")[c(1, 3)])
  say(case, "auc_delong_b", ci.auc(b, method = "delong")[c(1, 3)])
  say(case, "auc_variance", c(var(a, method = "delong"), var(b, method = "delong")))

  for (side in c("two.sided", "greater")) {
    test <- roc.test(a, b, method = "delong", paired = TRUE, alternative = side)
    say(case, paste0("delong_test_", side), c(test$statistic, test$p.value))
    if (side == "two.sided") say(case, "delong_test_interval", test$conf.int)
  }

  say(case, "partial_specificity", auc(a, partial.auc = c(1, 0.9)))
  say(case, "partial_specificity_corrected", auc(a, partial.auc = c(1, 0.9), partial.auc.correct = TRUE))
  say(case, "partial_sensitivity", auc(a, partial.auc = c(1, 0.8), partial.auc.focus = "sensitivity"))

  thresholds <- read.csv(file.path(folder, paste0(case, ".thresholds.csv")))$threshold
  at <- coords(a, thresholds, input = "threshold", ret = ratios, transpose = FALSE)
  for (ratio in ratios) say(case, paste0("at_", ratio), at[[ratio]])
  for (rule in c("youden", "closest.topleft")) {
    best <- coords(a, "best", best.method = rule, ret = ratios[1:2], transpose = FALSE)
    say(case, paste0("best_", rule), c(t(as.matrix(best)))) # one pair a point where points are equally good
  }

  if (resamples == 0 || nrow(table) > small) return(invisible())
  set.seed(1)
  say(case, "auc_bootstrap", ci.auc(a, method = "bootstrap", boot.n = resamples, progress = "none")[c(1, 3)])
  for (rule in c("fixed", "youden")) {
    where <- if (rule == "fixed") list(x = thresholds[1], input = "threshold") else
      list(x = "best", best.method = "youden", best.policy = "random")
    limits <- do.call(ci.coords, c(list(a, ret = ratios, boot.n = resamples, progress = "none"), where))
    for (ratio in ratios) say(case, paste("bootstrap", rule, ratio, sep = "_"), limits[[ratio]][1, ])
  }
}

cat("version,pROC,", as.character(packageVersion("pROC")), "\n", sep = "")
for (file in sort(list.files(folder, pattern = "thresholds.csv$"))) answer(sub(".thresholds.csv$", "", file))
