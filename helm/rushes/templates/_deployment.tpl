{{/*
A Deployment of one of the services.
Takes: root, service, component, part (dict of one label, "rushes/pool" or "rushes/site", or empty), name, command,
env (items as text), v (control, a pool or a site), scratchBytes (0: none), scaled, sites (local stores to mount),
secrets (Secrets to mount besides, by folder), ports (containerPorts besides the operations port, by name),
storeless (something if it has nothing to do with stores).
*/}}
{{- define "rushes.deployment" -}}
{{- $root := .root -}}
{{- $selector := include "rushes.partSelector" . -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  labels:
    {{- include "rushes.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- with .part }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- if not .scaled }}
  replicas: {{ .v.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 25%
      maxUnavailable: 0
  selector:
    matchLabels:
      {{- $selector | nindent 6 }}
  template:
    metadata:
      labels:
        {{- $selector | nindent 8 }}
        {{- with $root.Values.labels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        checksum/settings: {{ include "rushes.settings" (dict "root" $root "service" .service) | sha256sum }}
        {{- with .v.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- include "rushes.podBase" $root | nindent 6 }}
      terminationGracePeriodSeconds: {{ .v.terminationGracePeriodSeconds }}
      {{- include "rushes.placement" (dict "v" .v "selector" $selector) | trim | nindent 6 }}
      initContainers:
        {{- $wait := dict "root" $root "service" .service "name" "wait-for-migration" "sites" .sites "database" .v.databaseSecret "secrets" .secrets "storeless" .storeless -}}
        {{- $_ := set $wait "command" (list (printf "rushes-%s" .service) "migrate" "--wait") -}}
        {{- $_ := set $wait "env" .env -}}
        {{- $_ := set $wait "resources" $root.Values.migration.resources -}}
        {{- include "rushes.container" $wait | nindent 8 }}
      containers:
        {{- $resources := deepCopy .v.resources -}}
        {{- if and (int64 .scratchBytes) (eq .v.scratch.kind "emptyDir") -}}
        {{- $requests := $resources.requests | default dict -}}
        {{- $_ := set $requests "ephemeral-storage" (include "rushes.mebibytes" (add (int64 .scratchBytes) 268435456)) -}}
        {{- $_ := set $resources "requests" $requests -}}
        {{- end -}}
        {{- $main := dict "root" $root "service" .service "name" .service "sites" .sites "database" .v.databaseSecret "secrets" .secrets "storeless" .storeless -}}
        {{- $_ := set $main "command" .command -}}
        {{- $_ := set $main "env" .env -}}
        {{- $_ := set $main "resources" $resources -}}
        {{- $_ := set $main "scratch" (int64 .scratchBytes) -}}
        {{- include "rushes.container" $main | nindent 8 }}
          ports:
            - name: operations
              containerPort: {{ $root.Values.operations.port }}
            {{- range $name, $port := .ports }}
            - name: {{ $name }}
              containerPort: {{ $port }}
            {{- end }}
          {{- include "rushes.probes" $root | nindent 10 }}
      volumes:
        {{- include "rushes.volumes" (dict "root" $root "sites" .sites "database" .v.databaseSecret "secrets" .secrets "storeless" .storeless) | nindent 8 }}
        {{- if int64 .scratchBytes }}
        {{- include "rushes.scratchVolume" (dict "v" .v "bytes" .scratchBytes) | nindent 8 }}
        {{- end }}
{{- end -}}

{{/* What chooses the pods of one Deployment. Takes: root, component, part. */}}
{{- define "rushes.partSelector" -}}
{{ include "rushes.selector" .root }}
app.kubernetes.io/component: {{ .component }}
{{- with .part }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A PodDisruptionBudget for one Deployment. Takes the same. */}}
{{- define "rushes.disruptionBudget" -}}
{{- if .v.disruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  labels:
    {{- include "rushes.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  maxUnavailable: {{ .v.disruptionBudget.maxUnavailable }}
  # A pod that cannot start keeps no node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "rushes.partSelector" . | nindent 6 }}
{{- end }}
{{- end -}}
