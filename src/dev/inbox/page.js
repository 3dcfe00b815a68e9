
// Fetches the page again every other second and keeps open what is open.
setInterval(async () => {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const line of document.querySelectorAll("details[open]")) {
    fresh.getElementById(line.id)?.setAttribute("open", "");
  }
  document.title = fresh.title;
  for (const id of ["count", "list"]) {
    const now = document.getElementById(id), next = fresh.getElementById(id);
    if (now.innerHTML !== next.innerHTML) now.replaceWith(document.adoptNode(next));
  }
}, 2000);
