{{/* The pods of all services: one shape, with what differs as `root` and `part`. */}}

{{- define "ragtime.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "ragtime.podSecurityContext" -}}
runAsNonRoot: true
{{- with .Values.runAsUser }}
runAsUser: {{ int64 . }}
runAsGroup: {{ int64 . }}
fsGroup: {{ int64 . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "ragtime.pullSecrets" -}}
{{- with .Values.image.pullSecrets -}}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* What the pods of all parts have in common, the jobs' too. */}}
{{- define "ragtime.anyPod" -}}
{{- $own := index .root.Values (include "ragtime.role" .part) -}}
serviceAccountName: {{ include "ragtime.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with include "ragtime.pullSecrets" .root }}
{{ . }}
{{- end }}
securityContext:
  {{- include "ragtime.podSecurityContext" .root | nindent 2 }}
volumes:
  {{- include "ragtime.volumes" . | nindent 2 }}
{{- with $own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "ragtime.podMetadata" -}}
{{- $own := index .root.Values (include "ragtime.role" .part) -}}
labels:
  {{- include "ragtime.selector" . | nindent 2 }}
  {{- with $own.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $own.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "ragtime.spread" -}}
{{- with .root.Values.topologySpread -}}
{{- if .enabled -}}
topologySpreadConstraints:
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ $key }}
    maxSkew: 1
    whenUnsatisfiable: {{ $.root.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "ragtime.selector" $ | nindent 8 }}
{{- if ne $.part "processor" }}
    # The pods that a rollout replaces do not count.
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "ragtime.probes" -}}
startupProbe:
  httpGet: {path: /healthz/live, port: http}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz/live, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /healthz/ready, port: http}
  periodSeconds: 3
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{/* Looks at the tables with the service's own user until they fit: a container that ended with an
error would be tried again later and later, up to five minutes after they are there. It ends after ten
minutes all the same: a new container is told what a Secret holds by now. */}}
{{- define "ragtime.gate" -}}
{{- $only := merge (dict "only" "clickhouse") . -}}
- name: tables
  image: {{ include "ragtime.image" (dict "root" .root "part" "admin") }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [python, -m, services.admin, migrate, --check, --wait, "600"]
  env:
    {{- include "ragtime.clickhouse" . | nindent 4 }}
    {{- include "ragtime.files" $only | nindent 4 }}
    {{- with (index .root.Values .part).extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  resources:
    {{- toYaml .root.Values.admin.resources | nindent 4 }}
  securityContext:
    {{- include "ragtime.securityContext" . | nindent 4 }}
  volumeMounts:
    {{- include "ragtime.mounts" $only | nindent 4 }}
{{- end -}}

{{- define "ragtime.container" -}}
{{- $own := index .root.Values .part -}}
- name: {{ .part }}
  image: {{ include "ragtime.image" . }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [python, -m, services.{{ .part }}]
  env:
    {{- include "ragtime.environment" . | nindent 4 }}
  ports:
    - {name: http, containerPort: {{ include "ragtime.port" .part }}}
    - {name: metrics, containerPort: {{ include "ragtime.metricsPort" . }}}
  {{- include "ragtime.probes" . | nindent 2 }}
  resources:
    {{- toYaml $own.resources | nindent 4 }}
  securityContext:
    {{- include "ragtime.securityContext" . | nindent 4 }}
  volumeMounts:
    {{- include "ragtime.mounts" . | nindent 4 }}
{{- end -}}

{{/* A pod that runs `ragtime`: `command`, and more variables as `env`. */}}
{{- define "ragtime.commandContainer" -}}
- name: {{ .part }}
  image: {{ include "ragtime.image" (dict "root" .root "part" "admin") }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command:
    {{- toYaml .command | nindent 4 }}
  env:
    {{- include "ragtime.administration" . | nindent 4 }}
    {{- with .env }}
    {{- . | nindent 4 }}
    {{- end }}
  resources:
    {{- toYaml .root.Values.admin.resources | nindent 4 }}
  securityContext:
    {{- include "ragtime.securityContext" . | nindent 4 }}
  volumeMounts:
    {{- include "ragtime.mounts" . | nindent 4 }}
{{- end -}}

{{- define "ragtime.pod" -}}
{{- $own := index .root.Values .part -}}
metadata:
  {{- include "ragtime.podMetadata" . | nindent 2 }}
spec:
  {{- include "ragtime.anyPod" . | nindent 2 }}
  {{- $delay := ternary 0 .root.Values.leaveSeconds (eq .part "processor") }}
  {{- $grace := index $own.settings "RAGTIME_STOP__GRACE_S" | default 7 }}
  # RAGTIME_STOP__DELAY_S, RAGTIME_STOP__GRACE_S, and what a slow node needs besides.
  terminationGracePeriodSeconds: {{ add $delay (ceil $grace) 8 }}
  initContainers:
    {{- include "ragtime.gate" . | nindent 4 }}
  containers:
    {{- include "ragtime.container" . | nindent 4 }}
  {{- with include "ragtime.spread" . }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}
