{{/* The release's name, which all names begin with. Short enough for what is added to it. */}}
{{- define "rushes.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 30 | trimSuffix "-" -}}
{{- else if contains "rushes" .Release.Name -}}
{{- .Release.Name | trunc 30 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-rushes" (.Release.Name | trunc 23 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* What chooses the pods of this release. */}}
{{- define "rushes.selector" -}}
app.kubernetes.io/name: rushes
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "rushes.labels" -}}
{{ include "rushes.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "rushes.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "rushes.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "rushes.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* The services that run, as a JSON array. */}}
{{- define "rushes.services" -}}
{{- $services := list "normalizer" -}}
{{- range $name := list "syncer" "kitsu" -}}
{{- if (get $.Values $name).enabled -}}
{{- $services = append $services $name -}}
{{- end -}}
{{- end -}}
{{ $services | toJson }}
{{- end -}}

{{/*
Pools and sites with their defaults filled in, as JSON by name.
Takes: root.
*/}}
{{- define "rushes.pools" -}}
{{- $pools := dict -}}
{{- range $name, $own := .Values.normalizer.pools -}}
{{- $_ := set $pools $name (mergeOverwrite (deepCopy $.Values.normalizer.poolDefaults) (deepCopy ($own | default dict))) -}}
{{- end -}}
{{ $pools | toJson }}
{{- end -}}

{{- define "rushes.sites" -}}
{{- $sites := dict -}}
{{- range $name, $own := .Values.syncer.sites -}}
{{- $_ := set $sites $name (mergeOverwrite (deepCopy $.Values.syncer.siteDefaults) (deepCopy ($own | default dict))) -}}
{{- end -}}
{{ $sites | toJson }}
{{- end -}}
