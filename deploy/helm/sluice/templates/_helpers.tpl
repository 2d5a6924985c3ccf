{{- define "sluice.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sluice.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "sluice.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}
{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "sluice.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "sluice.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* What sluice.toml says and the chart must know, as YAML. workers: models, and pools that values name; served: by
worker the models and pools whose lag it follows. */}}
{{- define "sluice.settings" -}}
{{- $config := fromToml .Values.config -}}
{{- with $config.Error -}}{{- fail (printf "config is not TOML: %s" .) -}}{{- end -}}
{{- if not $config.models -}}{{- fail "config has no [models.NAME]" -}}{{- end -}}
{{- $topics := $config.topics | default dict -}}
{{- $models := keys $config.models | sortAlpha -}}
{{- $workers := $models -}}
{{- $served := dict -}}
{{- $pooled := list -}}
{{- range $model := $models -}}
{{- $all := list $model -}}
{{- range $pool := keys ((index $config.models $model).pools | default dict) | sortAlpha -}}
{{- $name := printf "%s.%s" $model $pool -}}
{{- $pooled = append $pooled $name -}}
{{- if hasKey $.Values.workers $name -}}
{{- $workers = append $workers $name -}}
{{- $_ := set $served $name (list $name) -}}
{{- else -}}
{{- $all = append $all $name -}}
{{- end -}}
{{- end -}}
{{- $_ := set $served $model $all -}}
{{- end -}}
{{- $known := concat $models $pooled -}}
{{- range $name, $_ := .Values.workers -}}
{{- if not (has $name $known) -}}
{{- fail (printf "workers.%s: config has no such model or pool; there are: %s" $name (join ", " $known)) -}}
{{- end -}}
{{- end -}}
prefix: {{ $topics.prefix | default "" | quote }}
partitions: {{ $topics.partitions | default 3 }}
modelPartitions: {{ $topics.model_partitions | default 3 }}
group: {{ ($config.router | default dict).id | default "sluice" | quote }}
models: {{ $models | toJson }}
workers: {{ $workers | toJson }}
served: {{ $served | toJson }}
{{- end -}}

{{/* A model's or pool's workers: workerDefaults under workers.NAME. Takes dict root, model. */}}
{{- define "sluice.worker" -}}
{{- $own := index .root.Values.workers .model | default dict -}}
{{- mustMergeOverwrite (deepCopy .root.Values.workerDefaults) $own | toJson -}}
{{- end -}}

{{/* A model's name as Kubernetes allows it, apart from others that would look the same. */}}
{{- define "sluice.modelName" -}}
{{- $plain := regexReplaceAll "[^a-z0-9]+" (lower .) "-" | trimAll "-" | trunc 40 | trimAll "-" -}}
{{- if eq $plain . -}}{{ $plain }}{{- else -}}{{ printf "%s-%s" $plain (sha256sum . | trunc 6) | trimPrefix "-" }}{{- end -}}
{{- end -}}

{{- define "sluice.podMetadata" -}}
{{- $labels := include "sluice.labels" .root | fromYaml -}}
labels:
  {{- toYaml (mergeOverwrite $labels .root.Values.podLabels) | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
annotations:
  checksum/config: {{ sha256sum .root.Values.config }}
  {{- with .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "sluice.podSettings" -}}
serviceAccountName: {{ include "sluice.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Where pods of a component are put; two of a kind rather not on one node. Takes dict root, component, values. */}}
{{- define "sluice.placement" -}}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "sluice.selector" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Image, environment and confinement of every container. */}}
{{- define "sluice.container" -}}
image: {{ include "sluice.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
env:
  - {name: HOME, value: /tmp}
  - {name: SLUICE_CONFIG, value: /etc/sluice/sluice.toml}
  - {name: SLUICE_BROKER, value: {{ .root.Values.kafka.servers | quote }}}
  - {name: SLUICE_INDEX_PATH, value: {{ printf "/index/%s" .root.Values.index.path | quote }}}
  - {name: SLUICE_ROUTER_DATA_DIR, value: /data}
  {{- with .env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .root.Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with compact (list .root.Values.existingSecret .secret) }}
envFrom:
  {{- range . }}
  - secretRef: {name: {{ . }}}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Of what runs on: a port with metrics and health. Probes are answered once its state is recovered; a router may recover for long. */}}
{{- define "sluice.probes" -}}
ports:
  - {name: metrics, containerPort: {{ .Values.metrics.port }}}
startupProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 5
  failureThreshold: 180
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 15
  timeoutSeconds: 5
  failureThreshold: 4
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end -}}

{{- define "sluice.configVolumes" -}}
- name: config
  configMap: {name: {{ . }}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- end -}}

{{- define "sluice.configMounts" -}}
- {name: config, mountPath: /etc/sluice, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- end -}}

{{/* KEDA's trigger for the lag of a consumer group. Takes dict root, group, topic, threshold. */}}
{{- define "sluice.lagTrigger" -}}
- type: kafka
  metadata:
    bootstrapServers: {{ .root.Values.kafka.servers | quote }}
    consumerGroup: {{ .group | quote }}
    topic: {{ .topic | quote }}
    lagThreshold: {{ .threshold | quote }}
    # A new group has committed nothing: all that is there waits for it.
    offsetResetPolicy: earliest
    {{- with .root.Values.keda.triggerMetadata }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .root.Values.keda.triggerAuthentication }}
  authenticationRef: {name: {{ . }}}
  {{- end }}
{{- end -}}

{{/* A budget of disruptions for one component. Takes dict root, component, name. */}}
{{- define "sluice.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  labels: {{- include "sluice.labels" .root | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "sluice.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
{{- end -}}
