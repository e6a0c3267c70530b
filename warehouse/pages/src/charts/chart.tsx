/** An ECharts canvas that follows its option, its box and the theme. Charts of one group share the pointer. */

import { BarChart, LineChart, ScatterChart } from "echarts/charts";
import {
  AxisPointerComponent,
  DataZoomSliderComponent,
  GridComponent,
  MarkAreaComponent,
  MarkLineComponent,
  TooltipComponent,
} from "echarts/components";
import { type EChartsCoreOption, type EChartsType, connect, init, use } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { useEffect, useRef } from "preact/hooks";

use([
  LineChart,
  BarChart,
  ScatterChart,
  GridComponent,
  TooltipComponent,
  AxisPointerComponent,
  DataZoomSliderComponent,
  MarkLineComponent,
  MarkAreaComponent,
  CanvasRenderer,
]);

const GROUP = "minutes";

export interface ChartProps {
  readonly option: EChartsCoreOption;
  /** What a screen reader says instead of the picture. */
  readonly label: string;
  readonly linked?: boolean;
  readonly class?: string;
}

export function Chart({ option, label, linked = false, class: name = "chart" }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<EChartsType | null>(null);

  useEffect(() => {
    if (!box.current) return;
    const made = init(box.current);
    chart.current = made;
    if (linked) {
      made.group = GROUP;
      connect(GROUP);
    }
    const watcher = new ResizeObserver(() => made.resize());
    watcher.observe(box.current);
    return () => {
      watcher.disconnect();
      made.dispose();
    };
  }, [linked]);

  useEffect(() => {
    // Series are replaced by id; the pointer under the viewer's hand stays where it is.
    chart.current?.setOption({ animation: false, ...option }, { replaceMerge: ["series"], lazyUpdate: true });
  }, [option]);

  return <div ref={box} class={name} role="img" aria-label={label} />;
}
