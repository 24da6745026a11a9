/**
 * `node --require` loads this file before a script, so that an old Node prints one sentence instead of a stack trace. On
 * platforms without a Node package in the root package.json, scripts run on the machine's Node, which can be old. This file is
 * not TypeScript, because an old Node must be able to parse it.
 */
const { engines } = require('../package.json')

/** Returns an error message if Node `version` (e.g. "20.11.1") is too old to run the workspace. Otherwise returns null. */
function explainOldNode(version) {
  const [major, minor] = version.split('.').map(Number)
  const [requiredMajor, requiredMinor] = engines.node.replace('>=', '').split('.').map(Number)
  if (major > requiredMajor || (major === requiredMajor && minor >= requiredMinor)) return null
  return `Keymeter needs Node ${requiredMajor}.${requiredMinor} or newer, and this is Node ${version}: install a newer Node, then run the command again.`
}

module.exports = { explainOldNode }

const explanation = explainOldNode(process.versions.node)
if (explanation !== null) {
  console.error(explanation)
  process.exit(1)
}
