"use strict";
(() => {
  const box = document.getElementById("filter");
  const said = document.getElementById("filtered");
  const words = (item) => {
    const told = item.cloneNode(true);
    for (const each of told.querySelectorAll(".command")) each.remove();
    return `${told.textContent} ${item.dataset.filter}`.toLowerCase();
  };
  const all = [...document.querySelectorAll("[data-filter]")].map((item) => ({ item, text: words(item) }));
  const address = () => new URLSearchParams(location.search).get("filter") || "";
  const apply = () => {
    const wanted = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const each of all) each.item.hidden = !wanted.every((word) => each.text.includes(word));
    const left = all.filter((each) => !each.item.hidden).length;
    said.textContent = `${left} of ${all.length}${left ? "" : ": nothing matches"}`;
  };
  let typing = false;
  const write = () => {
    const target = new URL(location.href);
    if (box.value.trim()) target.searchParams.set("filter", box.value.trim());
    else target.searchParams.delete("filter");
    if (target.href === location.href) return;
    history[typing ? "replaceState" : "pushState"](null, "", target);
    typing = true;
  };
  const read = () => {
    box.value = address();
    typing = false;
    apply();
  };
  const arrive = () => {
    const at = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!at || !at.closest("[hidden]")) return;
    box.value = "";
    apply();
    at.scrollIntoView();
  };
  if (all.length) {
    box.addEventListener("input", () => { apply(); write(); });
    box.addEventListener("change", () => { typing = false; });
    addEventListener("popstate", read);
    addEventListener("hashchange", arrive);
    document.querySelector(".filter").hidden = false;
    read();
    arrive();
  }

  const select = (text) => {
    const range = document.createRange();
    range.selectNodeContents(text);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    return document.execCommand("copy");
  };
  const copy = async (button) => {
    const text = button.parentElement.querySelector("code");
    let done;
    try {
      await navigator.clipboard.writeText(text.textContent);
      done = true;
    } catch {
      done = select(text);
    }
    button.textContent = done ? "copied" : "press Ctrl+C";
    setTimeout(() => { button.textContent = "copy"; }, 2000);
  };
  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
})();
