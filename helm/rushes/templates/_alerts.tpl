{{/*
Every alert: what it looks for, and what it says. Thresholds, windows, `for` and severity come from the values.
Takes: the root. As YAML by name: expr, for (if the values have none), summary, description.
*/}}
{{- define "rushes.alerts" -}}
{{- $rules := .Values.alerts.rules -}}
{{- $here := printf "namespace=%q" .Release.Namespace -}}
{{- $control := printf "%s,component=\"control\"" $here -}}
{{- $jobs := printf "%s,component=~\"worker|syncer|kitsu-build\"" $here -}}
{{- $uploads := printf "%s,component=~\"control|worker\"" $here -}}
{{- $dead := printf "rushes_dead_letters_total{%s}" $here -}}
{{- $broken := printf "rushes_jobs_total{%s,outcome=\"broken\",code!~\"source_empty|not_a_movie|unsupported_codec|corrupt|limits_exceeded\"}" $uploads -}}
{{- $ended := printf "rushes_jobs_total{%s}" $uploads -}}
{{- $drain := include "rushes.effective" (dict "root" . "name" "DRAIN_BUDGET") | float64 -}}
{{- $burn := $rules.ReadyLatencyBurn -}}
{{- $fast := dict "here" $here "factor" $burn.threshold "long" $burn.fastLong "short" $burn.fastShort "minimum" $burn.minimum -}}
{{- $slow := dict "here" $here "factor" $burn.slowThreshold "long" $burn.slowLong "short" $burn.slowShort "minimum" $burn.minimum -}}
ReadyLatencyBurn:
  expr: |-
    # Late uploads, as a share of those that became ready: 5 % may take over 10 minutes, 1 % over 60.
    {{- $burns := list }}
    {{- range $windows := list $fast $slow }}
    {{- range $within, $share := dict "600.0" 0.05 "3600.0" 0.01 }}
    {{- $burns = append $burns (include "rushes.burn" (merge (dict "within" $within "share" $share) $windows)) }}
    {{- end }}
    {{- end }}
    {{- join "\nor " $burns | nindent 4 }}
  summary: >-
    {{ `{{ $value | humanizePercentage }}` }} of the latest uploads took too long to be ready
  description: >-
    At this rate the service level is missed: 95 % of uploads ready in 10 minutes, 99 % in 60.
QueueOldest:
  expr: |-
    max by (lane, queue) (rushes_oldest_queued_seconds{ {{- $control -}} ,lane="upload"})
      > {{ include "rushes.text" $rules.QueueOldest.threshold }}
  summary: >-
    An upload in the queue {{ `{{ $labels.queue }}` }} has waited {{ `{{ $value | humanizeDuration }}` }} for a slot
  description: >-
    There are too few slots for it, or they do not get on.
NoWorkers:
  expr: |-
    sum(max by (lane, queue) (rushes_tasks{ {{- $control -}} ,state="queued"})) > {{ include "rushes.text" $rules.NoWorkers.threshold }}
      unless sum(rushes_slots{ {{- $here -}} ,component="worker"}) > 0
  summary: >-
    {{ `{{ printf "%.0f" $value }}` }} jobs wait, and no worker is there
  description: >-
    Every pool is at zero, or its pods do not start.
RowsStuckProcessing:
  expr: |-
    max(rushes_lease_overdue_seconds{ {{- $control -}} }) > {{ include "rushes.text" $rules.RowsStuckProcessing.threshold }}
      # Or the janitor, which would take the job back and say so, is silent, although the database answers.
      or (time() - max(rushes_sampled_timestamp_seconds{ {{- $control -}} } > 0) > {{ include "rushes.text" $rules.RowsStuckProcessing.threshold }}
        and time() - max(rushes_database_answer_timestamp_seconds{ {{- $control -}} }) < {{ include "rushes.text" $rules.DatabaseDown.threshold }})
  summary: >-
    For {{ `{{ $value | humanizeDuration }}` }} nobody has taken back the job of a lost worker, or looked for one
  description: >-
    Previews stay in processing. The janitor of the control processes does not do its rounds, or fails in them.
BrokenRatioHigh:
  expr: |-
    sum(increase({{ $broken }}[{{ $rules.BrokenRatioHigh.window }}])) / sum(increase({{ $ended }}[{{ $rules.BrokenRatioHigh.window }}]))
      > {{ include "rushes.text" $rules.BrokenRatioHigh.threshold }}
      and sum(increase({{ $broken }}[{{ $rules.BrokenRatioHigh.window }}])) > {{ include "rushes.text" $rules.BrokenRatioHigh.minimum }}
  summary: >-
    {{ `{{ $value | humanizePercentage }}` }} of the previews of {{ $rules.BrokenRatioHigh.window }} are broken, and not by their uploads
  description: >-
    Bad uploads (empty, corrupt, no movie, too large) are left out. What is left is ours.
FilesMissing:
  expr: |-
    sum(increase(rushes_became_missing_total{ {{- $uploads -}} }[{{ $rules.FilesMissing.window }}]))
      > {{ include "rushes.text" $rules.FilesMissing.threshold }}
      or max(rushes_absences_held{ {{- $control -}} }) > {{ include "rushes.text" $rules.FilesMissing.threshold }}
  summary: >-
    The sources of {{ `{{ printf "%.0f" $value }}` }} previews are gone from the store
  description: >-
    They became missing within {{ $rules.FilesMissing.window }}, or a flood of absences is held until somebody looks.
StoreCircuitOpen:
  expr: |-
    sum by (component, store) (rushes_store_circuit_open{ {{- $here -}} }) > {{ include "rushes.text" $rules.StoreCircuitOpen.threshold }}
  summary: >-
    {{ `{{ $value }}` }} processes ({{ `{{ $labels.component }}` }}) wait for the store {{ `{{ $labels.store }}` }}
  description: >-
    It does not show its sentinel. Jobs wait and cost no try; they go on when it is back.
DatabaseDown:
  expr: |-
    time() - max by (component) (rushes_database_answer_timestamp_seconds{ {{- $here -}} })
      > {{ include "rushes.text" $rules.DatabaseDown.threshold }}
  summary: >-
    PostgreSQL has not answered {{ `{{ $labels.component }}` }} for {{ `{{ $value | humanizeDuration }}` }}
  description: >-
    Nothing is lost, nothing goes on: events wait in Kafka, results in the workers.
OutboxStalled:
  expr: |-
    max by (component) (rushes_outbox_oldest_seconds{ {{- $here -}} }) > {{ include "rushes.text" $rules.OutboxStalled.threshold }}
  summary: >-
    The oldest status that is not sent has waited {{ `{{ $value | humanizeDuration }}` }} ({{ `{{ $labels.component }}` }})
  description: >-
    Statuses are written but do not reach Kafka. Is Kafka there, and does a relay run?
ConsumerDelay:
  expr: |-
    histogram_quantile(0.99, sum by (component, topic, le) (rate(rushes_record_delay_seconds_bucket{ {{- $here -}} }[{{ $rules.ConsumerDelay.window }}])))
      > {{ include "rushes.text" $rules.ConsumerDelay.threshold }}
  summary: >-
    Events of {{ `{{ $labels.topic }}` }} are taken in {{ `{{ $value | humanizeDuration }}` }} late
  description: >-
    Intake does not keep up, or was away.
ConsumerStuck:
  expr: |-
    time() - max by (component, group, topic) (rushes_last_poll_timestamp_seconds{ {{- $here -}} })
      > {{ include "rushes.text" $rules.ConsumerStuck.threshold }}
  summary: >-
    Nobody has polled {{ `{{ $labels.topic }}` }} for {{ `{{ $labels.group }}` }} for {{ `{{ $value | humanizeDuration }}` }}
  description: >-
    Intake hangs in the database, or elsewhere.
RebalanceStorm:
  expr: |-
    max by (component, group) (increase(rushes_rebalances_total{ {{- $here -}} }[{{ $rules.RebalanceStorm.window }}]))
      > {{ include "rushes.text" $rules.RebalanceStorm.threshold }}
  summary: >-
    Partitions of {{ `{{ $labels.group }}` }} were given out {{ `{{ printf "%.0f" $value }}` }} times in {{ $rules.RebalanceStorm.window }}
  description: >-
    Members of the consumer group come and go. Are pods restarted?
CommitFailures:
  expr: |-
    sum by (component, group) (increase(rushes_commit_failures_total{ {{- $here -}} }[{{ $rules.CommitFailures.window }}]))
      > {{ include "rushes.text" $rules.CommitFailures.threshold }}
  summary: >-
    Kafka refused {{ `{{ printf "%.0f" $value }}` }} commits of {{ `{{ $labels.group }}` }} in {{ $rules.CommitFailures.window }}
  description: >-
    The same events are taken in again and recognised; nothing is lost, but Kafka or the network is unwell.
DeadLetters:
  expr: |-
    # A process that is new may count its first records before anybody has seen it at 0: `increase` misses those.
    sum by (topic, reason) (increase({{ $dead }}[{{ $rules.DeadLetters.window }}])) > {{ include "rushes.text" $rules.DeadLetters.threshold }}
      or sum by (topic, reason) ({{ $dead }} unless {{ $dead }} offset {{ $rules.DeadLetters.window }}) > {{ include "rushes.text" $rules.DeadLetters.threshold }}
  summary: >-
    {{ `{{ printf "%.0f" $value }}` }} records of {{ `{{ $labels.topic }}` }} could not be taken in ({{ `{{ $labels.reason }}` }})
  description: >-
    A publisher sends what is no event of ours. `rushes-normalizer dead-letters list` shows them.
ApiErrors:
  expr: |-
    {{- $calls := printf "rushes_api_requests_total{%s}" $here }}
    {{- $failed := printf "rushes_api_requests_total{%s,status=~\"5..\"}" $here }}
    {{- $window := $rules.ApiErrors.window }}
    sum(increase({{ $failed }}[{{ $window }}])) / sum(increase({{ $calls }}[{{ $window }}]))
      > {{ include "rushes.text" $rules.ApiErrors.threshold }}
      and sum(increase({{ $failed }}[{{ $window }}])) > {{ include "rushes.text" $rules.ApiErrors.minimum }}
  summary: >-
    {{ `{{ $value | humanizePercentage }}` }} of the calls of the read API are not answered
  description: >-
    503: PostgreSQL or Kafka does not answer the API. 500: an error of ours; its log says which (api_failed).
ScratchLow:
  expr: |-
    min by (component, pool, site, pod) (rushes_scratch_free_bytes{ {{- $jobs -}} }) < {{ include "rushes.text" $rules.ScratchLow.threshold }}
  summary: >-
    {{ `{{ $labels.pod }}` }} has {{ `{{ $value | humanize1024 }}` }}B of scratch left
  description: >-
    Jobs that run out of room are tried again elsewhere, and end as broken (out_of_disk) at last.
DrainExceeded:
  expr: |-
    max by (component, pool, site, pod) (rushes_drain_seconds{ {{- $jobs -}} }) > {{ include "rushes.text" (addf $drain $rules.DrainExceeded.threshold) }}
  for: 0s
  summary: >-
    {{ `{{ $labels.pod }}` }} has shut down for {{ `{{ $value | humanizeDuration }}` }}; its budget is {{ include "rushes.text" $drain }} s
  description: >-
    Jobs that ran were handed back, but the process does not end. After the grace period it is killed.
SandboxIncomplete:
  expr: |-
    min by (pool, mechanism) (rushes_sandbox_enforced{ {{- $here -}} ,component="worker"}) == 0
  summary: >-
    ffmpeg runs without {{ `{{ $labels.mechanism }}` }} in the pool {{ `{{ $labels.pool }}` }} (enforced: {{ `{{ $value }}` }})
  description: >-
    The node's kernel cannot confine decoders. Choose other nodes; REQUIRE_SANDBOX keeps workers off such ones.
SyncDrift:
  expr: |-
    max by (site, reason) (rushes_sync_drift_objects{ {{- $here -}} }) > {{ include "rushes.text" $rules.SyncDrift.threshold }}
  summary: >-
    {{ `{{ printf "%.0f" $value }}` }} objects at {{ `{{ $labels.site }}` }} are {{ `{{ $labels.reason }}` }} after a full pass
  description: >-
    The pass could not copy them.
SyncStale:
  expr: |-
    time() - max by (site) (rushes_sync_full_pass_timestamp_seconds{ {{- $here -}} }) > {{ include "rushes.text" $rules.SyncStale.threshold }}
  summary: >-
    {{ `{{ $labels.site }}` }} has had no full pass for {{ `{{ $value | humanizeDuration }}` }}
  description: >-
    Whatever it lacks stays unseen.
KitsuServerGone:
  expr: |-
    count(last_over_time(rushes_kitsu_jobs_open{ {{- $here -}} ,component="kitsu"}[{{ $rules.KitsuServerGone.window }}]))
      unless count(rushes_kitsu_jobs_open{ {{- $here -}} ,component="kitsu"})
  summary: >-
    None of {{ `{{ $value }}` }} processes that answered Zou gives metrics any more
  description: >-
    Zou takes a refused connection for the end of a movie: each one that is in work becomes broken there.
KitsuDispatchesFailed:
  expr: |-
    sum by (outcome) (increase(rushes_kitsu_calls_total{ {{- $here -}} ,operation="dispatch",outcome=~"failed|refused|unknown"}[{{ $rules.KitsuDispatchesFailed.window }}]))
      > {{ include "rushes.text" $rules.KitsuDispatchesFailed.threshold }}
  summary: >-
    {{ `{{ printf "%.0f" $value }}` }} jobs that Zou dispatched were not taken ({{ `{{ $labels.outcome }}` }})
  description: >-
    Each movie among them is broken in Zou. refused: the payload or its store is not ours; failed: PostgreSQL did not
    answer; unknown: a job of another name, and no PASS_ON_TO.
KitsuJobWaits:
  expr: |-
    max(rushes_kitsu_oldest_job_seconds{ {{- $here -}} ,component="kitsu"}) > {{ include "rushes.text" $rules.KitsuJobWaits.threshold }}
  summary: >-
    A job of Zou's has run for {{ `{{ $value | humanizeDuration }}` }}
  description: >-
    After JOB_QUEUE_TIMEOUT (3600 s, if Zou is told nothing else) Zou calls the preview broken, whatever becomes of it.
ZouUnreachable:
  expr: |-
    time() - max(rushes_kitsu_zou_answer_timestamp_seconds{ {{- $here -}} ,component="kitsu-follow"} > 0)
      > {{ include "rushes.text" $rules.ZouUnreachable.threshold }}
  summary: >-
    Zou's API has given no good answer for {{ `{{ $value | humanizeDuration }}` }}
  description: >-
    It is away, or refuses the token. Uploads go on; what is wrong in Zou is not set right.
ZouDisagrees:
  expr: |-
    max(rushes_kitsu_oldest_unsettled_seconds{ {{- $here -}} ,component="kitsu-follow"}) > {{ include "rushes.text" $rules.ZouDisagrees.threshold }}
  summary: >-
    For {{ `{{ $value | humanizeDuration }}` }} Zou has not said of a movie what Rushes says
  description: >-
    rushes-kitsu follow did not set it right, or cannot.
AbsentMetrics:
  expr: |-
    absent(rushes_slots{ {{- $control -}} })
  summary: >-
    No control process of Rushes gives metrics ({{ `{{ $value }}` }})
  description: >-
    Either none runs, or Prometheus does not reach them. All other alerts are blind.
{{- end -}}

{{/*
Whether more uploads than `share` took longer than `within` seconds, `factor` times as many, in both windows.
Takes: here, within, share, factor, long, short, minimum.
*/}}
{{- define "rushes.burn" -}}
{{- $limit := mulf .factor .share -}}
{{- $late := "(1 - sum(rate(rushes_upload_ready_seconds_bucket{%s,le=\"%s\"}[%s])) / sum(rate(rushes_upload_ready_seconds_count{%s}[%s])))" -}}
({{ printf $late .here .within .long .here .long }} > {{ $limit }}
  and {{ printf $late .here .within .short .here .short }} > {{ $limit }}
  and sum(increase(rushes_upload_ready_seconds_count{ {{- .here -}} }[{{ .long }}])) > {{ .minimum }})
{{- end -}}
