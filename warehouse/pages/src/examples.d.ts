/** The questions of docs/sql.md, which are tried there; `build.mjs` takes them out of it. */
declare module "playlake:examples" {
  const examples: readonly { readonly title: string; readonly sql: string }[];
  export default examples;
}
