/** A command to copy. */

import { signal } from "@preact/signals";

const copied = signal("");

export function Command({ text }: { readonly text: string }) {
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    copied.value = text;
  };
  return (
    <div class="command">
      <pre>{text}</pre>
      <button type="button" onClick={copy}>
        {copied.value === text ? "Copied" : "Copy"}
      </button>
    </div>
  );
}
