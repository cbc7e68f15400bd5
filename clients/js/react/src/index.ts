export { type JobFilter } from "./changes.js";
export {
  type Generation, HeadraceProvider, type ProviderProps, useConnection, useCredits, useEvents, useGenerate, useHeadrace, useJob,
  useJobs,
} from "./hooks.js";
