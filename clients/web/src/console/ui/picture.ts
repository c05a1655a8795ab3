/** Runs something before the next picture is drawn; soon, on a page that nobody sees. Gives what calls it off. */
export function nextPicture(run: () => void): () => void {
  if (document.hidden) {
    const timer = setTimeout(run, 100);
    return () => clearTimeout(timer);
  }
  const request = requestAnimationFrame(run);
  return () => cancelAnimationFrame(request);
}
