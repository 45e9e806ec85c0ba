{{- /* The variables that operator/savedmodel_operator/settings.py reads; a test compares them. */ -}}
{{- define "savedmodel-operator.environment" -}}
- name: POD_NAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef: {fieldPath: metadata.namespace}
- name: OPERATOR_IMAGE
  value: {{ include "savedmodel-operator.image" . | quote }}
- name: OPERATOR_VERSION
  value: {{ .Chart.AppVersion | quote }}
- name: ROUTER_IMAGE
  value: {{ include "savedmodel-operator.routerImage" . | quote }}
- name: IMAGE_PULL_POLICY
  value: {{ .Values.image.pullPolicy }}
- name: LEASE_NAME
  value: {{ include "savedmodel-operator.fullname" . }}
- name: LOG_FORMAT
  value: {{ .Values.logFormat }}
- name: LOG_LEVEL
  value: {{ .Values.logLevel }}
- name: WORKERS
  value: {{ .Values.workers | quote }}
- name: STORAGE_THREADS
  value: {{ .Values.storageThreads | quote }}
- name: STORAGE_SECRET_NAMES
  value: {{ join "," .Values.storageSecretNames | quote }}
{{- with .Values.watchNamespaces }}
- name: SAVEDMODEL_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.storage.allowedEndpoints }}
- name: ALLOWED_ENDPOINTS
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.prometheus.allowedAddresses }}
- name: ALLOWED_PROMETHEUS
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.global.imagePullSecrets }}
{{- $names := list }}
{{- range . }}{{ $names = append $names .name }}{{ end }}
- name: IMAGE_PULL_SECRETS
  value: {{ join "," $names | quote }}
{{- end }}
{{- end }}
