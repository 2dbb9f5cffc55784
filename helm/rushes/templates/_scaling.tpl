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
    # takes no slot: any number of it needs one worker.
    {{- $enough := mul (int64 $scaling.maxReplicas) $jobs }}
    - type: postgresql
      metricType: AverageValue
      metadata:
        query: >-
          SELECT count(*) FROM (
          (SELECT 1 FROM normalizer.task WHERE state = 'running' AND NOT batched LIMIT {{ $enough }})
          UNION ALL
          (SELECT 1 FROM normalizer.task WHERE state = 'queued' AND NOT batched AND available_at <= now() LIMIT {{ $enough }})
          UNION ALL
          (SELECT 1 FROM normalizer.task WHERE state IN ('queued', 'running') AND batched AND available_at <= now() LIMIT 1)
          ) AS work
        targetQueryValue: {{ $jobs | toString | quote }}
      authenticationRef:
        name: {{ .name }}
    {{- else }}
    - type: prometheus
      metricType: AverageValue
      metadata:
        serverAddress: {{ $scaling.keda.prometheusAddress | quote }}
        query: >-
          sum(max by (state, lane) (rushes_tasks{namespace="{{ $root.Release.Namespace }}",component="control"}))
          or vector(0)
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
