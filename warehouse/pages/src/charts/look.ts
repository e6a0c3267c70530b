/** What every chart with axes looks like: two grids one above the other, one pointer through both. */

export type Colour = (name: string) => string;

export function look(colour: Colour, rem: number) {
  const text = { color: colour("muted"), fontFamily: "Inter Variable, sans-serif", fontSize: 0.72 * rem };
  return {
    text,
    option: { textStyle: text, axisPointer: { link: [{ xAxisIndex: "all" }] } },
    /** The lower grid under the upper one, with `left` rem for the labels; `bottom` and `top` are where they part. */
    grids: (left: number, bottom: string | number, top: string) => [
      { left: left * rem, right: 1.2 * rem, top: 1.5 * rem, bottom },
      { left: left * rem, right: 1.2 * rem, top, bottom: 1.5 * rem },
    ],
    /** Labels stand below the lower grid only. */
    across: (grid: 0 | 1) => ({
      gridIndex: grid,
      axisLine: { lineStyle: { color: colour("line-strong") } },
      axisTick: { show: false },
      axisLabel: { ...text, show: grid === 1, hideOverlap: true },
      splitLine: { show: false },
      axisPointer: { show: true, label: { show: false }, lineStyle: { color: colour("muted"), type: "solid" as const } },
    }),
    up: (grid: 0 | 1, name: string) => ({
      gridIndex: grid,
      type: "value" as const,
      name,
      nameLocation: "end" as const,
      nameGap: 0.35 * rem,
      nameTextStyle: { ...text, align: "left" as const },
      axisLabel: text,
      splitLine: { lineStyle: { color: colour("line") } },
    }),
    tooltip: {
      trigger: "axis" as const,
      confine: true,
      backgroundColor: colour("raised"),
      borderColor: colour("line-strong"),
      textStyle: { ...text, color: colour("text") },
    },
  };
}
