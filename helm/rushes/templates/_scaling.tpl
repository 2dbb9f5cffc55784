{{/* What scales a pool, if anything. Takes what rushes.deployment takes. */}}
{{- define "rushes.scaling" -}}
{{- $root := .root -}}
{{- $scaling := .v.autoscaling -}}
{{- if $scaling.hpa.enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  labels:
    {{- include "rushes.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ .name }}
  minReplicas: {{ $scaling.minReplicas }}
  maxReplicas: {{ $scaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ $scaling.hpa.targetCPUUtilization }}
  behavior:
    scaleDown:
      stabilizationWindowSeconds: {{ $scaling.hpa.scaleDownAfter }}
{{- end }}
{{- if $scaling.keda.enabled }}
{{- $jobs := $scaling.keda.jobsPerReplica | default .v.slots | int64 }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ .name }}
  labels:
    {{- include "rushes.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ .name }}
  minReplicaCount: {{ $scaling.minReplicas }}
  maxReplicaCount: {{ $scaling.maxReplicas }}
  pollingInterval: {{ $scaling.keda.pollingInterval }}
  cooldownPeriod: {{ $scaling.keda.cooldownPeriod }}
  triggers:
    {{- if eq $scaling.keda.trigger "postgresql" }}
    # Jobs that run, and those whose time has come, as far as there are pods for them. What is looked for in batches
    # takes no slot: any number of it needs one worker, which is not one for large sources alone.
    {{- $enough := mul (int64 $scaling.maxReplicas) $jobs }}
    {{- $mine := get (dict "all" "NOT batched" "ordinary" "NOT batched AND NOT large" "large" "NOT batched AND large") .v.takes }}
    - type: postgresql
      metricType: AverageValue
      metadata:
        query: >-
          SELECT count(*) FROM (
          (SELECT 1 FROM normalizer.task WHERE state = 'running' AND {{ $mine }} LIMIT {{ $enough }})
          UNION ALL
          (SELECT 1 FROM normalizer.task WHERE state = 'queued' AND {{ $mine }} AND available_at <= now() LIMIT {{ $enough }})
          {{- if ne .v.takes "large" }}
          UNION ALL
          (SELECT 1 FROM normalizer.task WHERE state IN ('queued', 'running') AND batched AND available_at <= now() LIMIT 1)
          {{- end }}
          ) AS work
        targetQueryValue: {{ $jobs | toString | quote }}
      authenticationRef:
        name: {{ .name }}
    {{- else }}
    - type: prometheus
      metricType: AverageValue
      metadata:
        serverAddress: {{ $scaling.keda.prometheusAddress | quote }}
        {{- $tasks := printf `max by (state, lane, queue) (rushes_tasks{namespace="%s",component="control",queue` $root.Release.Namespace }}
        query: >-
          (sum({{ $tasks }}=~"{{ get (dict "all" "ordinary|large") .v.takes | default .v.takes }}"})) or vector(0))
          {{- if ne .v.takes "large" }}
          + (clamp_max(sum({{ $tasks }}="batched"})), 1) or vector(0))
          {{- end }}
        threshold: {{ $jobs | toString | quote }}
    {{- end }}
{{- if eq $scaling.keda.trigger "postgresql" }}
---
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata:
  name: {{ .name }}
  labels:
    {{- include "rushes.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  secretTargetRef:
    - parameter: connection
      name: {{ $scaling.keda.existingSecret.name }}
      key: {{ $scaling.keda.existingSecret.key }}
{{- end }}
{{- end }}
{{- end -}}
