# Seconds that pROC takes for one analysis of a table y,a,b, timed inside R, and its answer: "seconds,first,second".
# Rscript proc_timing.R TABLE.csv ci|paired RESAMPLES
suppressPackageStartupMessages(library(pROC))
words <- commandArgs(trailingOnly = TRUE)
data <- read.csv(words[1])
resamples <- as.integer(words[3])
set.seed(0)
if (words[2] == "ci") {
  taken <- system.time({
    curve <- roc(data$y, data$a, quiet = TRUE, levels = c(0, 1), direction = "<")
    answer <- ci.auc(curve, method = "bootstrap", boot.n = resamples, progress = "none")
  })
  answer <- c(answer[1], answer[3])
} else {
  taken <- system.time({
    first <- roc(data$y, data$a, quiet = TRUE, levels = c(0, 1), direction = "<")
    second <- roc(data$y, data$b, quiet = TRUE, levels = c(0, 1), direction = "<")
    test <- roc.test(first, second, method = "bootstrap", boot.n = resamples, paired = TRUE, progress = "none")
  })
  answer <- c(test$p.value, unname(test$statistic))
}
cat(sprintf("%.6f,%.6f,%.6f\n", taken["elapsed"], answer[1], answer[2]))
