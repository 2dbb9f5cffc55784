{{/* What makes a pod fit for the restricted Pod Security standard. */}}
{{- define "rushes.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ include "rushes.text" .Values.user.uid }}
runAsGroup: {{ include "rushes.text" .Values.user.gid }}
fsGroup: {{ include "rushes.text" .Values.user.gid }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "rushes.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* What every pod's spec begins with. */}}
{{- define "rushes.podBase" -}}
serviceAccountName: {{ include "rushes.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "rushes.podSecurity" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/*
One container of ours, as an item of a list.
Takes: root, service, name, command (a list), env (items as text), resources, scratch (something if it has one), sites,
secrets, storeless.
*/}}
{{- define "rushes.container" -}}
- name: {{ .name }}
  image: {{ include "rushes.image" .root }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: {{ toJson .command }}
  securityContext:
    {{- include "rushes.containerSecurity" .root | nindent 4 }}
  envFrom:
    - configMapRef:
        name: {{ include "rushes.fullname" .root }}-{{ .service }}
  env:
    {{- include "rushes.environment" . | nindent 4 }}
  resources:
    {{- toYaml .resources | nindent 4 }}
  volumeMounts:
    - name: tmp
      mountPath: /tmp
    {{- if .scratch }}
    - name: scratch
      mountPath: /scratch
    {{- end }}
    {{- range $name, $secret := include "rushes.mountedSecrets" . | fromJson }}
    - name: {{ $name }}
      mountPath: /etc/rushes/{{ $name }}
      readOnly: true
    {{- end }}
    {{- if and (eq .root.Values.store.kind "local") (not .storeless) }}
    - name: store
      mountPath: /store
    {{- end }}
    {{- range $name, $site := .sites }}
    {{- if eq $site.store.kind "local" }}
    - name: site-{{ $name }}
      mountPath: /sites/{{ $name }}
    {{- end }}
    {{- end }}
    {{- with .root.Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Variables of a container, each name once: those of the studio win, also over a file. Takes: root, env, storeless. */}}
{{- define "rushes.environment" -}}
{{- $theirs := list -}}
{{- range .root.Values.extraEnv -}}
{{- $theirs = append $theirs .name -}}
{{- end -}}
{{- $all := list -}}
{{- range concat (include "rushes.secrets" .root | fromYamlArray) (.env | default "" | fromYamlArray) -}}
{{- if not (or (has .name $theirs) (has (trimSuffix "_FILE" .name) $theirs) (and $.storeless (hasPrefix "STORE__" .name))) -}}
{{- $all = append $all . -}}
{{- end -}}
{{- end -}}
{{ concat $all .root.Values.extraEnv | toYaml }}
{{- end -}}

{{/*
Secrets that are mounted under /etc/rushes, by the name of the folder; as JSON. Those of a variable that the studio gives
itself are not. Takes: root, sites, database (the name of the Secret for the database, if these pods have one alone),
secrets (others, by folder), storeless.
*/}}
{{- define "rushes.mountedSecrets" -}}
{{- $v := .root.Values -}}
{{- $all := dict "database-ca" $v.tls.database.caSecret "kafka-ca" $v.tls.kafka.caSecret "kafka-client" $v.tls.kafka.clientCertificateSecret "store-ca" $v.tls.store.caSecret -}}
{{- $_ := set $all "database" (include "rushes.unlessGiven" (dict "root" .root "name" "DATABASE_URL" "secret" (default $v.database.existingSecret.name .database))) -}}
{{- if hasPrefix "SASL" $v.kafka.securityProtocol -}}
{{- $_ := set $all "kafka" (include "rushes.unlessGiven" (dict "root" .root "name" "KAFKA__SASL_PASSWORD" "secret" $v.kafka.existingSecret.name)) -}}
{{- end -}}
{{- if and (eq $v.store.kind "s3") (not .storeless) -}}
{{- $_ := set $all "store" (include "rushes.unlessGiven" (dict "root" .root "name" "STORE__SECRET_ACCESS_KEY" "secret" $v.store.existingSecret.name)) -}}
{{- end -}}
{{- range $name, $site := .sites -}}
{{- if eq $site.store.kind "s3" -}}
{{- $_ := set $all (printf "site-%s-key" $name) (include "rushes.unlessGiven" (dict "root" $.root "name" (printf "SITES__%s__SECRET_ACCESS_KEY" (upper $name)) "secret" $site.store.existingSecret.name)) -}}
{{- end -}}
{{- end -}}
{{- $all = merge $all (.secrets | default dict) -}}
{{- $there := dict -}}
{{- range $name, $secret := $all -}}
{{- if $secret -}}
{{- $_ := set $there $name $secret -}}
{{- end -}}
{{- end -}}
{{ $there | toJson }}
{{- end -}}

{{/* A Secret's name, or nothing where the studio's own variables hold what it is for. Takes: root, name, secret. */}}
{{- define "rushes.unlessGiven" -}}
{{- $theirs := list -}}
{{- range .root.Values.extraEnv -}}
{{- $theirs = append $theirs .name -}}
{{- end -}}
{{- if not (has .name $theirs) -}}
{{ .secret }}
{{- end -}}
{{- end -}}

{{/* Volumes that every pod has, as items of a list. Takes: root, sites, database, secrets, storeless. */}}
{{- define "rushes.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 256Mi
{{- range $name, $secret := include "rushes.mountedSecrets" . | fromJson }}
- name: {{ $name }}
  secret:
    secretName: {{ $secret }}
    defaultMode: 0440
{{- end }}
{{- if and (eq .root.Values.store.kind "local") (not .storeless) }}
- name: store
  persistentVolumeClaim:
    claimName: {{ .root.Values.store.existingClaim }}
{{- end }}
{{- range $name, $site := .sites }}
{{- if eq $site.store.kind "local" }}
- name: site-{{ $name }}
  persistentVolumeClaim:
    claimName: {{ $site.store.existingClaim }}
{{- end }}
{{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The volume of the folder for files in work. Takes: v, bytes. */}}
{{- define "rushes.scratchVolume" -}}
- name: scratch
  {{- if eq .v.scratch.kind "emptyDir" }}
  emptyDir:
    sizeLimit: {{ include "rushes.mebibytes" .bytes }}
  {{- else }}
  ephemeral:
    volumeClaimTemplate:
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .v.scratch.storageClassName }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests:
            storage: {{ include "rushes.mebibytes" .bytes }}
  {{- end }}
{{- end -}}

{{- define "rushes.probes" -}}
{{- $operations := .Values.operations -}}
startupProbe:
  httpGet:
    path: /startupz
    port: operations
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: {{ divf $operations.startupSeconds 5 | ceil }}
livenessProbe:
  httpGet:
    path: /livez
    port: operations
  periodSeconds: 20
  timeoutSeconds: 10
  failureThreshold: {{ divf $operations.silentSeconds 20 | ceil }}
readinessProbe:
  httpGet:
    path: /readyz
    port: operations
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}

{{/* Where pods may run. Takes: v, selector (labels as text). */}}
{{- define "rushes.placement" -}}
{{- with .v.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .v.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .v.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .v.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .v.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  - {{ toYaml . | nindent 4 | trim }}
    labelSelector:
      matchLabels:
        {{- $.selector | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end -}}
