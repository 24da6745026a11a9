// Applies the chosen theme before the first paint. The Content-Security-Policy forbids inline scripts, so this is a file.
try {
  const theme = localStorage.getItem('keymeter-theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
} catch {
  // The browser forbids the use of its storage, so the theme of the system applies.
}
