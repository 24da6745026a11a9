/** Returns the methods that the server accepts at the path of `target`. HEAD works where GET does. */
export function allowedMethods(target: string): readonly string[] {
  const isTrpc = /^\/trpc(?:[/?]|$)/.test(target)
  return isTrpc ? ['GET', 'HEAD', 'POST'] : ['GET', 'HEAD']
}
