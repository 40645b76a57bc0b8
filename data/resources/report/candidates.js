"use strict";
// Sorting, filtering and the two views. No storage, no network: the page also lives in a sandboxed frame.
(() => {
  const table = document.getElementById("candidates");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  const query = document.getElementById("query");
  const filters = Array.from(document.querySelectorAll("select[data-filter]"));
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

  const key = (row, index) => row.cells[index].dataset.v;
  const compare = (a, b) => {
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };

  // Cells without a value stay at the end whichever way the column runs; equal cells keep the order of rank.
  const sort = (index, direction) => {
    const sign = direction === "descending" ? -1 : 1;
    const ordered = rows
      .map((row) => ({ row, at: key(row, index) }))
      .sort((a, b) => (a.at === "") - (b.at === "") || sign * compare(a.at, b.at));
    body.append(...ordered.map((item) => item.row));
    heads.forEach((head, i) => {
      if (head.hasAttribute("aria-sort")) head.setAttribute("aria-sort", i === index ? direction : "none");
    });
  };

  const filter = () => {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const keep =
        words.every((word) => texts.get(row).includes(word)) &&
        filters.every((select) => !select.value || row.dataset[select.dataset.filter] === select.value);
      row.hidden = !keep;
      shown += keep;
    }
    document.getElementById("count").textContent = `${shown} of ${rows.length}`;
    document.getElementById("empty").hidden = shown > 0;
    table.hidden = shown === 0;
  };

  heads.forEach((head, index) => {
    const button = head.querySelector("button");
    if (!button) return;
    const first = button.dataset.first;
    const second = first === "descending" ? "ascending" : "descending";
    button.addEventListener("click", () => sort(index, head.getAttribute("aria-sort") === first ? second : first));
  });
  query.addEventListener("input", filter);
  filters.forEach((select) => select.addEventListener("change", filter));

  const views = Array.from(document.querySelectorAll("button[data-view]"));
  const show = (view) => {
    document.querySelector("main").classList.toggle("cards", view === "cards");
    views.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.view === view)));
  };
  views.forEach((button) => button.addEventListener("click", () => show(button.dataset.view)));
  // Beside MLflow's panels the frame is some 650 pixels wide: cards fit there, the table does not.
  if (window.innerWidth && window.innerWidth < 768) show("cards");
  // The table's header sticks below the toolbar, which wraps to two lines where the frame is narrow.
  const toolbar = document.querySelector(".toolbar");
  new ResizeObserver(() => table.style.setProperty("--toolbar", `${toolbar.offsetHeight}px`)).observe(toolbar);
  document.querySelectorAll(".enlarge").forEach((button) =>
    button.addEventListener("click", () => {
      const wide = button.parentElement.classList.toggle("wide");
      button.setAttribute("aria-expanded", String(wide));
    }),
  );
})();
