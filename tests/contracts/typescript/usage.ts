// A web client. What must not compile is marked; the mark itself fails where the next line compiles.
import type { MinimalPreview, PresentedPreview, PreviewFile, PreviewUploaded, StatusChange } from "./rushes";

export function badge(preview: MinimalPreview): string {
  switch (preview.status) {
    case "processing":
      return "wait";
    case "ready":
      return "play";
    case "broken":
    case "missing":
      return "attention";
    default:
      return preview.status; // of a later version
  }
}

export function row(preview: PresentedPreview): [string, number | null] {
  return [preview.created_at ?? "", preview.token_in];
}

export function apply(held: Map<string, StatusChange>, change: StatusChange): void {
  const known = held.get(change.preview_file_id);
  if (known === undefined || known.version < change.version) held.set(change.preview_file_id, change);
}

export function why(change: StatusChange): string | null {
  return change.error && (change.error.for_artist ?? change.error.message);
}

export function megabytes(change: StatusChange): number {
  return change.files.reduce((sum, file) => sum + file.bytes, 0) / 1e6;
}

export const upload: PreviewUploaded = {
  preview_file_id: "7b3e4d0e-2f5c-4a57-9a53-0d8c1f1f5a11",
  extension: "mov",
  uploaded_at: "2026-01-31T09:30:00Z",
  encoding: { fps: 24, preset: "fast" },
};

// @ts-expect-error: an upload names its preview
export const nameless: PreviewUploaded = { extension: "mov", uploaded_at: "2026-01-31T09:30:00Z" };
// @ts-expect-error: a wish that no version knows
export const moody: PreviewUploaded = { ...upload, encoding: { mood: "grim" } };
// @ts-expect-error: it is for Rushes' own services
export const internal = (change: StatusChange): string => change.internal_status;
// @ts-expect-error: a player is not told of sizes
export const size = (preview: MinimalPreview): number | null => preview.file_size;
// @ts-expect-error: a duration may not be known
export const frames = (preview: PreviewFile): number => preview.duration * 25;
