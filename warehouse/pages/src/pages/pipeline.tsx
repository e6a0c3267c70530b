/** Pipeline: everything behind the numbers, from the broker to the published file. */

import { useAnswer } from "../data/answer";
import { beat } from "../data/beat";
import type { PipelineView } from "../data/protocol";
import { fresh, live } from "../data/store";
import { Down } from "../parts/down";
import { PipelineAudits, PipelinePublishes, PipelineRestated } from "../parts/pipeline-batch";
import { PipelineFlow } from "../parts/pipeline-flow";
import { PipelineHead, PipelineProcesses } from "../parts/pipeline-head";
import { PipelineLetters } from "../parts/pipeline-letters";
import { PipelineTables } from "../parts/pipeline-tables";

export function Pipeline() {
  const found = useAnswer<PipelineView>("/v1/dashboard/pipeline", beat());
  const view = found.value;
  if (view === null) {
    return (
      <main class="waiting" data-testid="waiting">
        <p>{found.problem || "Looking at the broker, the lake and the processes."}</p>
      </main>
    );
  }
  const isOld = fresh.value.state === "down";
  return (
    <main class={isOld ? "machinery old" : "machinery"} data-testid="pipeline" aria-busy={isOld}>
      <Down />
      {found.problem && <p class="banner" role="alert" data-testid="problem">{found.problem}</p>}
      <PipelineHead view={view} />
      <div class="column">
        <PipelineFlow flow={view.flow} />
        <PipelineTables view={view} />
      </div>
      <div class="column">
        <PipelineProcesses view={view} />
        <PipelinePublishes view={view} />
        <PipelineAudits view={view} links={live.value?.links ?? null} />
      </div>
      <PipelineLetters letters={view.letters} />
      <PipelineRestated view={view} />
    </main>
  );
}
