"use strict";
// Sorting, filtering, choosing, exporting and the two views. No storage, no network: the page also lives in a
// sandboxed frame.
(() => {
  const id = (name) => document.getElementById(name);
  const all = (css) => Array.from(document.querySelectorAll(css));
  const table = id("candidates");
  const body = table.tBodies[0];
  const heads = Array.from(table.tHead.rows[0].cells);
  const query = id("query");
  const filters = all("select[data-filter]");
  const ends = all("input[data-range]");
  const motifs = all("input[data-motif]");
  const mode = id("mode");
  const items = Array.from(body.rows).map((row, place) => ({
    row,
    place,
    kept: true,
    text: row.textContent.toLowerCase(),
    numbers: (row.dataset.numbers || "").split(";").map((text) => (text === "" ? NaN : Number(text))),
    motifs: BigInt("0x" + (row.dataset.motifs || "0")),
    box: row.querySelector("td.pick input"),
  }));
  let order = items;
  // So many rows at first, and more as one comes near their end: a thousand would keep a sort waiting for a second.
  const STEP = 100;
  let most = STEP;

  const compare = (a, b) => {
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };

  // Cells without a value stay at the end whichever way the column runs; equal cells keep the order of rank.
  const read = (cell) => cell.dataset.v ?? (cell.querySelector("code") || cell).textContent;
  const sort = (index, direction) => {
    const sign = direction === "descending" ? -1 : 1;
    order = items
      .map((item) => ({ item, at: read(item.row.cells[index]) }))
      .sort((a, b) => (a.at === "") - (b.at === "") || sign * compare(a.at, b.at))
      .map((one) => one.item);
    most = STEP;
    draw();
    body.append(...order.map((item) => item.row));
    heads.forEach((head, i) => {
      if (head.hasAttribute("aria-sort")) head.setAttribute("aria-sort", i === index ? direction : "none");
    });
  };

  // What is typed is compared with the numbers as they are shown; a sign or comma of print is taken too.
  const bounds = () =>
    ends.flatMap((input) => {
      const text = input.value.trim().replace("−", "-").replace(",", ".");
      const bound = Number(text);
      input.setAttribute("aria-invalid", String(Number.isNaN(bound)));
      if (text === "" || Number.isNaN(bound)) return [];
      const at = Number(input.dataset.range);
      return [input.dataset.end === "low" ? (x) => x[at] >= bound : (x) => x[at] <= bound];
    });

  const contained = () => {
    let wanted = 0n;
    for (const box of motifs) if (box.checked) wanted |= 1n << BigInt(box.dataset.motif);
    if (wanted === 0n) return () => true;
    if (mode.value === "every") return (bits) => (bits & wanted) === wanted;
    return mode.value === "some" ? (bits) => (bits & wanted) !== 0n : (bits) => (bits & wanted) === 0n;
  };

  const filter = () => {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    const inside = bounds();
    const has = contained();
    const facets = filters.filter((select) => select.value).map((select) => [select.dataset.filter, select.value]);
    let shown = 0;
    for (const item of items) {
      item.kept =
        words.every((word) => item.text.includes(word)) &&
        facets.every(([key, value]) => item.row.dataset[key] === value) &&
        inside.every((fits) => fits(item.numbers)) &&
        has(item.motifs);
      shown += item.kept;
    }
    most = STEP;
    draw();
    id("empty").hidden = shown > 0;
    table.hidden = shown === 0;
    const more = inside.length + motifs.filter((box) => box.checked).length;
    if (id("more")) id("more").textContent = more ? `More filters (${more})` : "More filters";
    id("clear").disabled = !(words.length || facets.length || more);
    tell();
  };

  const draw = () => {
    let drawn = 0;
    for (const item of order) {
      const hidden = !item.kept || drawn++ >= most;
      if (item.row.hidden !== hidden) item.row.hidden = hidden;
    }
    id("rest").hidden = drawn <= most;
    const matching = items.filter((item) => item.kept).length;
    const listed = Math.min(matching, most);
    id("count").textContent =
      listed === matching
        ? `${matching} of ${items.length} shown`
        : `${matching} of ${items.length}${matching < items.length ? " match" : ""}, the first ${listed} listed`;
  };
  const further = (count) => {
    most += count;
    draw();
  };

  // What is exported: the chosen rows, also where a filter hides them; where none is chosen, those that are shown.
  const visible = () => order.filter((item) => item.kept);
  const picked = () => order.filter((item) => item.box && item.box.checked);
  const tell = () => {
    if (!id("all")) return;
    const shown = visible(), chosen = picked();
    const both = shown.filter((item) => item.box.checked).length;
    id("all").checked = shown.length > 0 && both === shown.length;
    id("all").indeterminate = both > 0 && both < shown.length;
    const hidden = chosen.length - both;
    id("chosen").textContent = chosen.length
      ? `Export ${chosen.length} chosen${hidden ? ` (${hidden} hidden)` : ""}`
      : `Export ${shown.length} shown`;
  };

  let parts;
  const unpacked = async () => {
    const bytes = Uint8Array.from(atob(id("parts").content.textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  };

  // A frame whose sandbox allows no downloads drops them without a word: there the text is shown to be copied.
  const framed = window.self !== window.top;
  const write = async (ending) => {
    const chosen = picked();
    const rows = chosen.length ? chosen : visible();
    id("export").hidden = false;
    try {
      parts = parts || (await unpacked());
    } catch (error) {
      id("exported").textContent = "This browser cannot unpack the files of this page; a newer one can.";
      return;
    }
    const { head, rows: texts } = parts[ending];
    const own = rows.map((item) => texts[item.place]).filter(Boolean);
    const text = head + own.join("");
    const left = rows.length - own.length;
    const name = `${document.title.replace(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 60)}.${ending}`;
    id("text").value = text;
    id("exported").textContent =
      `${own.length} candidate${own.length === 1 ? "" : "s"} as ${ending.toUpperCase()}` +
      (left ? `; ${left} cannot be written so` : "") +
      (framed ? ". Downloads may be blocked inside this frame: copy the text, or open the page as a file." : ".");
    const link = id("download");
    if (link.href) URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
    link.download = name;
    link.textContent = `Download ${name}`;
    link.hidden = framed;
    if (framed) id("text").select();
    else link.click();
  };

  heads.forEach((head, index) => {
    if (head.dataset.label) table.style.setProperty(`--label-${index}`, JSON.stringify(head.dataset.label));
    const button = head.querySelector("button");
    if (!button) return;
    const first = button.dataset.first;
    const second = first === "descending" ? "ascending" : "descending";
    button.addEventListener("click", () => sort(index, head.getAttribute("aria-sort") === first ? second : first));
  });
  query.addEventListener("input", filter);
  ends.forEach((input) => input.addEventListener("input", filter));
  [...filters, ...motifs, ...(mode ? [mode] : [])].forEach((one) => one.addEventListener("change", filter));
  id("clear").addEventListener("click", () => {
    query.value = "";
    for (const one of [...filters, ...ends]) one.value = "";
    for (const box of motifs) box.checked = false;
    if (mode) mode.value = "every";
    filter();
  });
  if (id("more")) {
    id("more").addEventListener("click", () => {
      const open = (id("filters").hidden = !id("filters").hidden);
      id("more").setAttribute("aria-expanded", String(!open));
    });
  }
  if (id("all")) {
    body.addEventListener("change", tell);
    id("all").addEventListener("change", (event) => {
      for (const item of visible()) item.box.checked = event.target.checked;
      tell();
    });
    all("button[data-file]").forEach((button) => button.addEventListener("click", () => write(button.dataset.file)));
    id("close").addEventListener("click", () => (id("export").hidden = true));
    id("copy").addEventListener("click", () => {
      id("text").select();
      // The newer interface is closed to sandboxed frames.
      id("copy").textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
    });
    id("export").addEventListener("focusout", () => (id("copy").textContent = "Copy"));
  }

  // The nearest known object: its drawing is that of its row, or one that waits in the page.
  const drawing = (place) => {
    const held = place && id(place);
    return held && (held.content || held).querySelector("svg.mol");
  };
  // What two have in common is marked behind the formula.
  const mark = (picture, places) => {
    for (const place of (places || "").split(" ").filter(Boolean)) {
      const spot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
      const [x, y] = place.split(",");
      for (const [name, value] of Object.entries({ class: "core", cx: x, cy: y, r: 10 })) spot.setAttribute(name, value);
      picture.prepend(spot);
    }
  };
  const nears = all("details.near");
  nears.forEach((near) =>
    near.addEventListener("toggle", () => {
      if (!near.open) return;
      nears.forEach((other) => (other.open = other === near));
      const box = near.querySelector("div"), picture = drawing(near.dataset.like);
      if (!picture || box.querySelector("svg")) return;
      mark(box.appendChild(picture.cloneNode(true)), near.dataset.core);
    }),
  );
  // Lineages have the drawings of rows, and of one another; copies are taken before anything is marked.
  const origin = id("origin"), ones = all(".lineage .one");
  const fill = () => {
    const own = ones.map((one) => one.querySelector("svg.mol") || drawing(one.dataset.like)?.cloneNode(true));
    ones.splice(0).forEach((one, at) => {
      if (!own[at]) return;
      one.prepend(own[at]);
      mark(own[at], one.dataset.core);
    });
  };
  if (origin?.open) fill();
  else origin?.addEventListener("toggle", fill);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") nears.forEach((near) => (near.open = false));
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("details.near")) nears.forEach((near) => (near.open = false));
  });

  const views = all("button[data-view]");
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

  id("rest").firstElementChild.addEventListener("click", () => further(STEP));
  const near = new IntersectionObserver(
    ([end]) => {
      if (!end.isIntersecting) return;
      further(STEP);
      near.unobserve(end.target); // looked at again, since it may still be near
      near.observe(end.target);
    },
    { rootMargin: "1500px" },
  );
  near.observe(id("rest"));
  window.addEventListener("beforeprint", () => further(items.length));

  // A link to a section opens it, one to a row shows it even where a filter hides it.
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    const place = link && id(link.getAttribute("href").slice(1));
    if (!place) return;
    event.preventDefault();
    if (place.tagName === "DETAILS") place.open = true;
    if (place.hidden) place.hidden = table.hidden = false;
    place.scrollIntoView({ block: place.tagName === "TR" ? "center" : "start" });
    all("tr.pointed").forEach((row) => row.classList.remove("pointed"));
    if (place.tagName === "TR") place.classList.add("pointed");
  });
  // A row says all that a point does, so the keyboard goes to rows only.
  all(".plot a").forEach((link) => link.setAttribute("tabindex", "-1"));
  all(".enlarge").forEach((button) =>
    button.addEventListener("click", () => {
      const wide = button.closest("figure").classList.toggle("wide");
      button.setAttribute("aria-expanded", String(wide));
      button.textContent = wide ? "Shrink" : "Enlarge";
    }),
  );
  filter(); // a browser may bring back what was typed before a reload
})();
