{{/* Sentences about values that contradict each other, as JSON. */}}
{{- define "rushes.contradictions" -}}
{{- $root := . -}}
{{- $v := .Values -}}
{{- $said := list -}}
{{- $lease := include "rushes.effective" (dict "root" . "name" "LEASE") | float64 -}}
{{- $drain := include "rushes.effective" (dict "root" . "name" "DRAIN_BUDGET") | float64 -}}
{{- range $name := list "HEARTBEAT" "JANITOR_INTERVAL" -}}
{{- $seconds := include "rushes.effective" (dict "root" $root "name" $name) | float64 -}}
{{- if lt $lease (mulf 3 $seconds) -}}
{{- $said = append $said (printf "settings: LEASE is %vs and %s is %vs; a lease must last three of them, or healthy workers lose their jobs." $lease $name $seconds) -}}
{{- end -}}
{{- end -}}

{{- if lt (int64 $v.normalizer.control.replicas) 1 -}}
{{- $said = append $said "normalizer.control.replicas is 0: nobody would take events in, send statuses or take back the jobs of lost workers. Pools of workers may be scaled to zero." -}}
{{- end -}}
{{- $args := dict "name" "normalizer.control" "v" $v.normalizer.control -}}
{{- $said = concat $said (include "rushes.drainContradictions" $args | fromJson).sentences -}}

{{- $takers := dict "ordinary" list "large" list -}}
{{- range $name, $pool := include "rushes.pools" . | fromJson -}}
{{- range ternary (list "ordinary" "large") (list $pool.takes) (eq $pool.takes "all") -}}
{{- $_ := set $takers . (append (get $takers .) $name) -}}
{{- end -}}
{{- if and (ne $pool.takes "all") (not $v.normalizer.settings.LARGE_FROM_BYTES) (not $v.normalizer.settings.LARGE_FROM_PIXELS) -}}
{{- $said = append $said (printf "normalizer.pools.%s.takes is %s, but neither LARGE_FROM_BYTES nor LARGE_FROM_PIXELS in normalizer.settings says what is large." $name $pool.takes) -}}
{{- end -}}
{{- $path := printf "normalizer.pools.%s" $name -}}
{{- $args := dict "name" $path "v" $pool "largest" $v.normalizer.largestSource "largestPath" "normalizer.largestSource" "drain" $drain -}}
{{- $said = concat $said (include "rushes.drainContradictions" $args | fromJson).sentences -}}
{{- $said = concat $said (include "rushes.jobContradictions" $args | fromJson).sentences -}}
{{- $said = concat $said (include "rushes.scalingContradictions" $args | fromJson).sentences -}}
{{- end -}}

{{- range $kind, $other := dict "ordinary" "large" "large" "ordinary" -}}
{{- if and (get $takers $other) (not (get $takers $kind)) -}}
{{- $said = append $said (printf "normalizer.pools: no pool takes %s jobs, and they would wait for ever. Let one take them, or all." $kind) -}}
{{- end -}}
{{- end -}}

{{- range $name, $site := include "rushes.sites" . | fromJson -}}
{{- $path := printf "syncer.sites.%s" $name -}}
{{- if lt (int64 $site.replicas) 1 -}}
{{- $said = append $said (printf "%s.replicas is 0: nobody would copy to this site. Remove the site instead." $path) -}}
{{- end -}}
{{- $args := dict "name" $path "v" $site "largest" $site.largestObject "largestPath" (printf "%s.largestObject" $path) "drain" $drain -}}
{{- $said = concat $said (include "rushes.drainContradictions" $args | fromJson).sentences -}}
{{- $said = concat $said (include "rushes.jobContradictions" $args | fromJson).sentences -}}
{{- if and $v.syncer.settings.SYNC_SOURCE_MOVIES (lt (include "rushes.bytes" $site.largestObject | int64) (include "rushes.bytes" $v.normalizer.largestSource | int64)) -}}
{{- $said = append $said (printf "syncer.settings.SYNC_SOURCE_MOVIES copies sources of up to normalizer.largestSource (%s), but %s.largestObject is %s." $v.normalizer.largestSource $path $site.largestObject) -}}
{{- end -}}
{{- $said = concat $said (include "rushes.storeContradictions" (dict "root" $root "name" (printf "%s.store" $path) "store" $site.store) | fromJson).sentences -}}
{{- end -}}
{{- if $v.api.enabled -}}
{{- $said = concat $said (include "rushes.apiContradictions" . | fromJson).sentences -}}
{{- end -}}
{{- if and $v.syncer.enabled (not $v.syncer.sites) -}}
{{- $said = append $said "syncer.enabled is true, but syncer.sites names no site to copy to." -}}
{{- end -}}
{{- if and $v.syncer.sites (not $v.syncer.enabled) -}}
{{- $said = append $said "syncer.sites names sites, but syncer.enabled is false: nobody would copy to them." -}}
{{- end -}}

{{- if $v.kitsu.enabled -}}
{{- $said = concat $said (include "rushes.kitsuContradictions" . | fromJson).sentences -}}
{{- end -}}
{{- $said = concat $said (include "rushes.storeContradictions" (dict "root" . "name" "store" "store" $v.store) | fromJson).sentences -}}
{{- if and (hasPrefix "SASL" $v.kafka.securityProtocol) (not $v.kafka.existingSecret.name) -}}
{{- $said = append $said (printf "kafka.securityProtocol is %s, but kafka.existingSecret.name names no Secret with user and password." $v.kafka.securityProtocol) -}}
{{- end -}}
{{- if and (or $v.tls.kafka.caSecret $v.tls.kafka.clientCertificateSecret) (not (hasSuffix "SSL" $v.kafka.securityProtocol)) -}}
{{- $said = append $said (printf "tls.kafka is set, but kafka.securityProtocol is %s, which uses no TLS." $v.kafka.securityProtocol) -}}
{{- end -}}
{{- if and (eq $v.topics.createdBy "strimzi") (not $v.topics.strimzi.cluster) -}}
{{- $said = append $said "topics.createdBy is strimzi, but topics.strimzi.cluster names no Kafka cluster." -}}
{{- end -}}
{{- if $v.networkPolicy.enabled -}}
{{- range splitList "," $v.kafka.bootstrapServers -}}
{{- $port := splitList ":" . | last | int64 -}}
{{- if not (include "rushes.hasPort" (dict "ports" $v.networkPolicy.kafka.ports "port" $port)) -}}
{{- $said = append $said (printf "kafka.bootstrapServers uses port %d, which networkPolicy.kafka.ports does not let through." $port) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name := list "alerts" "dashboards" -}}
{{- if and (get $v $name).enabled (not $v.podMonitor.enabled) -}}
{{- $said = append $said (printf "%s.enabled is true, but podMonitor.enabled is false: the %s know the labels that only the PodMonitor adds." $name $name) -}}
{{- end -}}
{{- end -}}
{{ dict "sentences" $said | toJson }}
{{- end -}}

{{/* Takes: name, v. */}}
{{- define "rushes.drainContradictions" -}}
{{- $said := list -}}
{{- if and .v.disruptionBudget.enabled (lt (int64 .v.disruptionBudget.maxUnavailable) 1) -}}
{{- $said = append $said (printf "%s.disruptionBudget.maxUnavailable is 0: no node with such a pod could ever be drained." .name) -}}
{{- end -}}
{{ dict "sentences" $said | toJson }}
{{- end -}}

{{/* Takes: the root. */}}
{{- define "rushes.kitsuContradictions" -}}
{{- $v := .Values -}}
{{- $kitsu := $v.kitsu -}}
{{- $said := list -}}
{{- if lt (int64 $kitsu.serve.replicas) 1 -}}
{{- $said = append $said "kitsu.serve.replicas is 0: nobody would answer Zou, and each upload would be broken there." -}}
{{- end -}}
{{- $defaults := .Files.Get "files/setting-defaults.json" | fromJson -}}
{{- $linger := (hasKey $kitsu.settings "NOMAD_LINGER" | ternary $kitsu.settings $defaults).NOMAD_LINGER | float64 -}}
{{- if le (float64 $kitsu.serve.terminationGracePeriodSeconds) $linger -}}
{{- $said = append $said (printf "kitsu.serve.terminationGracePeriodSeconds is %v, but calls are answered for %v seconds (kitsu.settings.NOMAD_LINGER) after SIGTERM: the pods would be killed first." $kitsu.serve.terminationGracePeriodSeconds $linger) -}}
{{- end -}}
{{- range $name := list "serve" "follow" "builder" -}}
{{- $args := dict "name" (printf "kitsu.%s" $name) "v" (get $kitsu $name) -}}
{{- $said = concat $said (include "rushes.drainContradictions" $args | fromJson).sentences -}}
{{- end -}}
{{- $drain := include "rushes.effective" (dict "root" . "name" "DRAIN_BUDGET") | float64 -}}
{{- $args := dict "name" "kitsu.builder" "v" $kitsu.builder "largest" $kitsu.builder.largestPlaylist "largestPath" "kitsu.builder.largestPlaylist" "drain" $drain -}}
{{- $said = concat $said (include "rushes.jobContradictions" $args | fromJson).sentences -}}
{{- range $name := list "PLAYLIST_JOB" "TILE_JOB" -}}
{{- if and (lt (int64 $kitsu.builder.replicas) 1) (not (and (hasKey $kitsu.settings $name) (eq (get $kitsu.settings $name) ""))) -}}
{{- $said = append $said (printf "kitsu.builder.replicas is 0, but kitsu.settings.%s is served: what Zou dispatches under it would wait for ever. Make it empty, and it is passed on." $name) -}}
{{- end -}}
{{- end -}}
{{- if and $kitsu.nomad.clientCa.secret (not $kitsu.nomad.certificateSecret) -}}
{{- $said = append $said "kitsu.nomad.clientCa.secret is set, but kitsu.nomad.certificateSecret names no certificate to answer with." -}}
{{- end -}}
{{- if $kitsu.zou.url -}}
{{- if not $kitsu.zou.tokenSecret.name -}}
{{- $said = append $said "kitsu.zou.url is set, but kitsu.zou.tokenSecret.name names no Secret with a token of Zou's." -}}
{{- end -}}
{{- $named := regexFind ":[0-9]+$" (regexFind "^https?://[^/]+" $kitsu.zou.url) | trimPrefix ":" -}}
{{- $port := $named | default (ternary "443" "80" (hasPrefix "https" $kitsu.zou.url)) | int64 -}}
{{- if and $v.networkPolicy.enabled (not (include "rushes.hasPort" (dict "ports" $v.networkPolicy.zou.ports "port" $port))) -}}
{{- $said = append $said (printf "kitsu.zou.url uses port %d, which networkPolicy.zou.ports does not let through." $port) -}}
{{- end -}}
{{- end -}}
{{ dict "sentences" ($said | default list) | toJson }}
{{- end -}}

{{/* Takes: the root. */}}
{{- define "rushes.apiContradictions" -}}
{{- $api := .Values.api -}}
{{- $said := list -}}
{{- if not $api.accessSecret.name -}}
{{- $said = append $said "api.enabled is true, but api.accessSecret.name names no Secret with the list of who may read what." -}}
{{- end -}}
{{- if lt (int64 $api.replicas) 1 -}}
{{- $said = append $said "api.replicas is 0: nobody would answer. Set api.enabled to false instead." -}}
{{- end -}}
{{- $defaults := .Files.Get "files/setting-defaults.json" | fromJson -}}
{{- $linger := (hasKey $api.settings "API_LINGER" | ternary $api.settings $defaults).API_LINGER | float64 -}}
{{- if le (float64 $api.terminationGracePeriodSeconds) (addf $linger 10) -}}
{{- $said = append $said (printf "api.terminationGracePeriodSeconds is %v, but calls are answered for %v seconds (api.settings.API_LINGER) after SIGTERM, and those in work get 10 more: the pods would be killed first." $api.terminationGracePeriodSeconds $linger) -}}
{{- end -}}
{{- $said = concat $said (include "rushes.drainContradictions" (dict "name" "api" "v" $api) | fromJson).sentences -}}
{{ dict "sentences" ($said | default list) | toJson }}
{{- end -}}

{{/* Takes: name, v, largest, largestPath, drain. */}}
{{- define "rushes.jobContradictions" -}}
{{- $said := list -}}
{{- if le (float64 .v.terminationGracePeriodSeconds) .drain -}}
{{- $said = append $said (printf "%s.terminationGracePeriodSeconds is %v, but running jobs get %v seconds (settings.DRAIN_BUDGET) to end: they would be killed first." .name .v.terminationGracePeriodSeconds .drain) -}}
{{- end -}}
{{- $least := include "rushes.leastScratch" (dict "slots" .v.slots "largest" .largest) | int64 -}}
{{- $size := include "rushes.scratchBytes" (dict "v" .v "largest" .largest) | int64 -}}
{{- if lt $size $least -}}
{{- $said = append $said (printf "%s.scratch.size is %s, but its %v slots may each hold %s (%s): they need %s." .name .v.scratch.size .v.slots .largest .largestPath (include "rushes.mebibytes" $least)) -}}
{{- end -}}
{{ dict "sentences" $said | toJson }}
{{- end -}}

{{/* Takes: name, v. */}}
{{- define "rushes.scalingContradictions" -}}
{{- $said := list -}}
{{- $scaling := .v.autoscaling -}}
{{- $keda := $scaling.keda -}}
{{- if and $scaling.hpa.enabled $keda.enabled -}}
{{- $said = append $said (printf "%s.autoscaling: hpa and keda are both enabled, and would scale against each other; choose one." .name) -}}
{{- end -}}
{{- if and (or $scaling.hpa.enabled $keda.enabled) (gt (int64 $scaling.minReplicas) (int64 $scaling.maxReplicas)) -}}
{{- $said = append $said (printf "%s.autoscaling.minReplicas is %v, more than maxReplicas (%v)." .name $scaling.minReplicas $scaling.maxReplicas) -}}
{{- end -}}
{{- if and $scaling.hpa.enabled (lt (int64 $scaling.minReplicas) 1) -}}
{{- $said = append $said (printf "%s.autoscaling.minReplicas is 0: only KEDA scales from zero." .name) -}}
{{- end -}}
{{- if $keda.enabled -}}
{{- if le (float64 $keda.cooldownPeriod) (float64 .v.terminationGracePeriodSeconds) -}}
{{- $said = append $said (printf "%s.autoscaling.keda.cooldownPeriod is %v, not longer than terminationGracePeriodSeconds (%v): pods would come and go while others still end." .name $keda.cooldownPeriod .v.terminationGracePeriodSeconds) -}}
{{- end -}}
{{- if and (eq $keda.trigger "postgresql") (not $keda.existingSecret.name) -}}
{{- $said = append $said (printf "%s.autoscaling.keda.trigger is postgresql, but keda.existingSecret.name names no Secret with a connection." .name) -}}
{{- end -}}
{{- if and (eq $keda.trigger "prometheus") (not $keda.prometheusAddress) -}}
{{- $said = append $said (printf "%s.autoscaling.keda.trigger is prometheus, but keda.prometheusAddress is empty." .name) -}}
{{- end -}}
{{- end -}}
{{ dict "sentences" $said | toJson }}
{{- end -}}

{{/* Takes: root, name, store. */}}
{{- define "rushes.storeContradictions" -}}
{{- $said := list -}}
{{- if and (eq .store.kind "local") (not .store.existingClaim) -}}
{{- $said = append $said (printf "%s.kind is local, but %s.existingClaim names no volume." .name .name) -}}
{{- end -}}
{{- $policy := .root.Values.networkPolicy -}}
{{- if and $policy.enabled (eq .store.kind "s3") -}}
{{- $url := .store.endpointUrl | default "https://s3" -}}
{{- $authority := regexFind "^https?://[^/]+" $url -}}
{{- $named := regexFind ":[0-9]+$" $authority | trimPrefix ":" -}}
{{- $port := $named | default (ternary "443" "80" (hasPrefix "https" $url)) | int64 -}}
{{- if not (include "rushes.hasPort" (dict "ports" $policy.store.ports "port" $port)) -}}
{{- $said = append $said (printf "%s.endpointUrl uses port %d, which networkPolicy.store.ports does not let through." .name $port) -}}
{{- end -}}
{{- end -}}
{{ dict "sentences" $said | toJson }}
{{- end -}}

{{/* Something if a port is among ports. Takes: ports, port. */}}
{{- define "rushes.hasPort" -}}
{{- range .ports -}}
{{- if eq (int64 .) $.port -}}
yes
{{- end -}}
{{- end -}}
{{- end -}}
