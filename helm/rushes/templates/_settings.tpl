{{/*
The environment of a service that is no secret: the data of its ConfigMap.
Takes: root, service ("normalizer", "syncer" or "kitsu").
*/}}
{{- define "rushes.settings" -}}
{{- $v := .root.Values -}}
{{- $data := dict "HOME" "/tmp" "INSTANCE" $v.instance "SCRATCH" "/scratch" -}}
{{- $_ := set $data "OPERATIONS_HOST" "0.0.0.0" -}}
{{- $_ := set $data "OPERATIONS_PORT" $v.operations.port -}}
{{- $_ := set $data "KAFKA__BOOTSTRAP_SERVERS" $v.kafka.bootstrapServers -}}
{{- $_ := set $data "KAFKA__SECURITY_PROTOCOL" $v.kafka.securityProtocol -}}
{{- if hasPrefix "SASL" $v.kafka.securityProtocol -}}
{{- $_ := set $data "KAFKA__SASL_MECHANISM" $v.kafka.saslMechanism -}}
{{- end -}}
{{- if $v.kafka.topicPrefix -}}
{{- $_ := set $data "KAFKA__TOPIC_PREFIX" $v.kafka.topicPrefix -}}
{{- end -}}
{{- if $v.tls.kafka.caSecret -}}
{{- $_ := set $data "KAFKA__SSL_CAFILE" (printf "/etc/rushes/kafka-ca/%s" $v.tls.kafka.caKey) -}}
{{- end -}}
{{- if $v.tls.kafka.clientCertificateSecret -}}
{{- $_ := set $data "KAFKA__SSL_CERTFILE" "/etc/rushes/kafka-client/tls.crt" -}}
{{- $_ := set $data "KAFKA__SSL_KEYFILE" "/etc/rushes/kafka-client/tls.key" -}}
{{- end -}}
{{- if $v.tls.database.caSecret -}}
{{- $_ := set $data "PGSSLMODE" "verify-full" -}}
{{- $_ := set $data "PGSSLROOTCERT" (printf "/etc/rushes/database-ca/%s" $v.tls.database.caKey) -}}
{{- end -}}
{{- if $v.tls.store.caSecret -}}
{{- $_ := set $data "AWS_CA_BUNDLE" (printf "/etc/rushes/store-ca/%s" $v.tls.store.caKey) -}}
{{- end -}}
{{- $store := include "rushes.storeSettings" (dict "prefix" "STORE" "store" $v.store "root" "/store") | fromJson -}}
{{- $data = merge $data $store -}}
{{- if eq .service "normalizer" -}}
{{- $_ := set $data "MAX_SOURCE_BYTES" (include "rushes.bytes" $v.normalizer.largestSource) -}}
{{- end -}}
{{- if eq .service "kitsu" -}}
{{- $_ := set $data "NOMAD_HOST" "0.0.0.0" -}}
{{- $_ := set $data "NOMAD_PORT" $v.kitsu.nomad.port -}}
{{- end -}}
{{- range $name, $value := merge (dict) $v.settings (get $v .service).settings -}}
{{- $_ := set $data $name $value -}}
{{- end -}}
{{- range $name, $value := $data }}
{{ $name }}: {{ include "rushes.text" $value | quote }}
{{- end }}
{{- end -}}

{{/*
One store's variables that are no secret, as JSON.
Takes: prefix ("STORE" or "SITES__LYON"), store, root (the folder of a local store).
*/}}
{{- define "rushes.storeSettings" -}}
{{- $data := dict (printf "%s__KIND" .prefix) .store.kind -}}
{{- if eq .store.kind "local" -}}
{{- $_ := set $data (printf "%s__ROOT" .prefix) .root -}}
{{- else -}}
{{- $_ := set $data (printf "%s__REGION" .prefix) .store.region -}}
{{- with .store.endpointUrl -}}
{{- $_ := set $data (printf "%s__ENDPOINT_URL" $.prefix) . -}}
{{- end -}}
{{- if ne .store.conditions "kept" -}}
{{- $_ := set $data (printf "%s__CONDITIONS" .prefix) .store.conditions -}}
{{- end -}}
{{- end -}}
{{- with .store.bucketPrefix -}}
{{- $_ := set $data (printf "%s__BUCKET_PREFIX" $.prefix) . -}}
{{- end -}}
{{ $data | toJson }}
{{- end -}}

{{/*
One store's credentials, as items of `env`: files, so that another key is taken up without a restart.
Takes: prefix, store, folder (below /etc/rushes).
*/}}
{{- define "rushes.storeSecrets" -}}
{{- if and (eq .store.kind "s3") .store.existingSecret.name }}
- name: {{ .prefix }}__ACCESS_KEY_ID_FILE
  value: /etc/rushes/{{ .folder }}/{{ .store.existingSecret.accessKeyIdKey }}
- name: {{ .prefix }}__SECRET_ACCESS_KEY_FILE
  value: /etc/rushes/{{ .folder }}/{{ .store.existingSecret.secretAccessKeyKey }}
{{- end }}
{{- end -}}

{{/* A site's store, as items of `env`. Takes: name, store. */}}
{{- define "rushes.siteEnvironment" -}}
{{- $prefix := printf "SITES__%s" (upper .name) -}}
{{- $store := include "rushes.storeSettings" (dict "prefix" $prefix "store" .store "root" (printf "/sites/%s" .name)) -}}
{{- range $name, $value := fromJson $store }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- include "rushes.storeSecrets" (dict "prefix" $prefix "store" .store "folder" (printf "site-%s-key" .name)) }}
{{- end -}}

{{/* What a site takes, as items of `env`. Takes: name, site. */}}
{{- define "rushes.siteTakes" -}}
{{- $prefix := printf "SITES__%s" (upper .name) -}}
{{- range $name, $value := dict "PROJECTS" (join "," .site.projects) "KINDS" (join "," .site.kinds) "MAX_AGE" (.site.maxAge | int64) "BANDWIDTH" .site.bandwidth }}
{{- if $value }}
- name: {{ $prefix }}__{{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The credentials of every container, as items of `env`. Takes: the root. */}}
{{- define "rushes.secrets" }}
- name: DATABASE_URL_FILE
  value: /etc/rushes/database/{{ .Values.database.existingSecret.key }}
{{- if hasPrefix "SASL" .Values.kafka.securityProtocol }}
- name: KAFKA__SASL_USERNAME
  valueFrom:
    secretKeyRef:
      name: {{ .Values.kafka.existingSecret.name }}
      key: {{ .Values.kafka.existingSecret.usernameKey }}
- name: KAFKA__SASL_PASSWORD_FILE
  value: /etc/rushes/kafka/{{ .Values.kafka.existingSecret.passwordKey }}
{{- end }}
{{- include "rushes.storeSecrets" (dict "prefix" "STORE" "store" .Values.store "folder" "store") }}
{{- end -}}

{{/* A setting of all services as it will be: the one that is given, or else its default. Takes: root, name. */}}
{{- define "rushes.effective" -}}
{{- $defaults := .root.Files.Get "files/setting-defaults.json" | fromJson -}}
{{- $given := get .root.Values.settings .name -}}
{{ include "rushes.text" (ternary $given (get $defaults .name) (hasKey .root.Values.settings .name)) }}
{{- end -}}
