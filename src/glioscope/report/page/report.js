// Sortable tables and live charts. The page reads and prints in full without this file.

const collator = new Intl.Collator("en", { numeric: true });

/** What a cell sorts by: a number, a text, or null where the cell is blank. */
function sortKey(cell) {
  const key = cell.dataset.sort;
  if (key === undefined) return cell.textContent.trim();
  return key === "" ? null : Number(key);
}

function compare(a, b) {
  return typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b);
}

/** Sort the body's rows by one column; blank cells stay last in both directions. */
function sortRows(body, column, direction) {
  const rows = [...body.rows].map((row) => ({ row, key: sortKey(row.cells[column]) }));
  rows.sort((a, b) => {
    if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
    return direction * compare(a.key, b.key);
  });
  body.append(...rows.map(({ row }) => row));
}

/** Turn each head into a button, which the keyboard reaches too: first click ascending, second descending. */
function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sortRows(table.tBodies[0], column, descending ? -1 : 1);
    });
  });
}

/** Put the live chart in the place of the drawing, and a button below that changes between the two. */
function showChart(place, option) {
  const drawing = place.parentElement.querySelector(".drawing");
  place.hidden = false;
  drawing.hidden = true;
  const chart = globalThis.echarts.init(place);
  chart.on("finished", () => (place.dataset.drawn = "yes"));
  chart.setOption(option);
  new ResizeObserver(() => place.hidden || chart.resize()).observe(place);

  const button = document.createElement("button");
  button.type = "button";
  button.className = "switch";
  button.textContent = "Show as printed";
  button.addEventListener("click", () => {
    place.hidden = !place.hidden;
    drawing.hidden = !drawing.hidden;
    button.textContent = place.hidden ? "Show live chart" : "Show as printed";
  });
  place.after(button);
}

document.querySelectorAll(".table > table").forEach(makeSortable);

if (globalThis.echarts) {
  const options = JSON.parse(document.getElementById("page-options").textContent);
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        observer.unobserve(target);
        const place = target.querySelector(".chart");
        showChart(place, options[place.dataset.chart]);
      }
    },
    { rootMargin: "300px" },
  );
  document.querySelectorAll("figure:has(> .chart)").forEach((figure) => observer.observe(figure));
}
