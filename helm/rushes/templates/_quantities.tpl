{{/* A number as the services read it: Helm holds large ones as floats, and would write 1e+11. */}}
{{- define "rushes.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{ int64 . }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}

{{/* The bytes of a quantity such as 1.5Gi. */}}
{{- define "rushes.bytes" -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 -}}
{{- $number := regexFind "^[0-9.]+" . -}}
{{- $unit := trimPrefix $number . -}}
{{- mulf (float64 $number) (get $units $unit | default 1 | float64) | ceil | int64 -}}
{{- end -}}

{{/* Bytes as a quantity, rounded up to whole Mi. */}}
{{- define "rushes.mebibytes" -}}
{{ divf (float64 .) 1048576.0 | ceil | int64 }}Mi
{{- end -}}

{{/* The bytes of scratch that the largest sources of all slots take. Takes: slots, largest (a quantity). */}}
{{- define "rushes.leastScratch" -}}
{{ mul (int64 .slots) (int64 (include "rushes.bytes" .largest)) }}
{{- end -}}

{{/* The bytes of scratch of a pod. Takes: v (a pool or a site), largest (a quantity). */}}
{{- define "rushes.scratchBytes" -}}
{{- if .v.scratch.size -}}
{{ include "rushes.bytes" .v.scratch.size }}
{{- else -}}
{{- $room := include "rushes.bytes" (.v.scratch.outputRoom | default "0") -}}
{{ mul (int64 .v.slots) (add (int64 (include "rushes.bytes" .largest)) (int64 $room)) }}
{{- end -}}
{{- end -}}
