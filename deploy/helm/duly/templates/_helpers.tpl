{{- define "duly.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "duly.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "duly.labels" -}}
{{ include "duly.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "duly.image" -}}
{{- if .Values.image.digest }}{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}{{ end }}
{{- end }}

{{- define "duly.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "duly.fullname" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- /* Of the pod: no root, and files of the mounted Secrets readable by the group. */}}
{{- define "duly.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "duly.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "duly.secretItems" -}}
- {key: {{ .databaseUrlKey | quote }}, path: database-url}
- {key: {{ .apiKeyKey | quote }}, path: api-key}
- {key: {{ .secretKeysKey | quote }}, path: secret-keys}
{{- with .webhookSecretKey }}
- {key: {{ . | quote }}, path: webhook-secret}
{{- end }}
{{- with .metricsKeyKey }}
- {key: {{ . | quote }}, path: metrics-key}
{{- end }}
{{- end }}

{{- define "duly.variables" -}}
- {name: DULY_DATABASE_URL_FILE, value: /run/secrets/duly/database-url}
- {name: DULY_API_KEY_FILE, value: /run/secrets/duly/api-key}
- {name: DULY_SECRET_KEYS_FILE, value: /run/secrets/duly/secret-keys}
{{- if .Values.secrets.webhookSecretKey }}
- {name: DULY_WEBHOOK_SECRET_FILE, value: /run/secrets/duly/webhook-secret}
{{- end }}
{{- if .Values.secrets.metricsKeyKey }}
- {name: DULY_METRICS_KEY_FILE, value: /run/secrets/duly/metrics-key}
{{- end }}
{{- with .Values.database.schema }}
- {name: DULY_DATABASE_SCHEMA, value: {{ . | quote }}}
{{- end }}
{{- if .Values.database.transactionPooling }}
- {name: DULY_TRANSACTION_POOLING, value: "true"}
{{- end }}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "duly.mounts" -}}
- {name: secrets, mountPath: /run/secrets/duly, readOnly: true}
- {name: temporary, mountPath: /tmp}
- {name: data, mountPath: /data}
{{- if .Values.database.tlsSecret }}
- {name: database-tls, mountPath: /etc/duly/tls, readOnly: true}
{{- end }}
{{- end }}

{{- define "duly.volumes" -}}
- name: temporary
  emptyDir: {sizeLimit: {{ .Values.temporarySizeLimit }}}
- name: data
  emptyDir: {sizeLimit: 16Mi}
{{- with .Values.database.tlsSecret }}
- name: database-tls
  secret: {secretName: {{ . | quote }}, defaultMode: 0440}
{{- end }}
{{- end }}
