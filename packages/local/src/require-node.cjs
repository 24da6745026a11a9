/**
 * `node --require` loads this file before a script, so that an old Node reports one sentence instead of a stack trace.
 * Scripts use the machine's Node on platforms that have no Node package in the root package.json. An old Node must be able
 * to parse this file, so it is not TypeScript.
 */
const { engines } = require('../../../package.json')

/** Returns what to tell the user when `version` of Node (e.g. "20.11.1") cannot run the workspace, and null when it can. */
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
