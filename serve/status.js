// Follows the part of the status page that changes from one second to the next. The
// page is whole without it.
"use strict";
{
  const live = document.getElementById("live");
  const as_of = document.getElementById("as-of");
  const events = new EventSource("/-/events");
  events.onmessage = (e) => {
    live.innerHTML = e.data; // the server's own markup, in which all names are escaped
    as_of.textContent = "live";
  };
  events.onerror = () => { as_of.textContent = "no longer live: the mirror does not answer"; };
}
