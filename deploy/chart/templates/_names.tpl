{{- define "image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{/* policy, webhook or none. Preemptible Jobs need the webhook, for it adds what their pods need. */}}
{{- define "placement" -}}
{{- if ne .Values.placement "auto" -}}
{{ .Values.placement }}
{{- else if .Values.preemptible -}}
webhook
{{- else if semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version -}}
policy
{{- else -}}
webhook
{{- end -}}
{{- end -}}

{{/* The settings as they go into the file: with a Lease, by which one of the replicas serves the node. */}}
{{- define "settings" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- if not (hasKey $settings "leader_lease") -}}
{{- $_ := set $settings "leader_lease" (printf "%s/%s" .Release.Namespace ($settings.node_name | default "virtual-kubelet")) -}}
{{- end -}}
{{- if not (hasKey $settings "serving_certificate_secret") -}}
{{- $_ := set $settings "serving_certificate_secret" (printf "%s/vk-provider-serving" .Release.Namespace) -}}
{{- end -}}
{{- if and .Values.preemptible (ne .Release.Namespace "vk-provider") -}}
{{- $idle := $settings.preemptible | default dict -}}
{{- if not (hasKey $idle "history") -}}
{{- $_ := set $idle "history" (printf "%s/vk-provider-idle-history" .Release.Namespace) -}}
{{- end -}}
{{- $_ := set $settings "preemptible" $idle -}}
{{- end -}}
{{- if .Values.fakeCloud.enabled -}}
{{- $eci := $settings.eci | default dict -}}
{{- if not $eci.endpoint -}}
{{- $_ := set $eci "endpoint" (printf "http://fake-cloud.%s.svc:8080" .Release.Namespace) -}}
{{- end -}}
{{- $_ := set $settings "eci" $eci -}}
{{- end -}}
{{- toToml $settings -}}
{{- end -}}

{{/* What was left to be filled in is told by its name, all of it at once. */}}
{{- define "check" -}}
{{- $faults := list -}}
{{- $eci := .Values.settings.eci | default dict -}}
{{- if eq (.Values.settings.cloud | default "eci") "eci" -}}
{{- if not $eci.region -}}{{- $faults = append $faults "settings.eci.region is missing: write your region, for example cn-hangzhou" -}}{{- end -}}
{{- if not $eci.vswitch -}}{{- $faults = append $faults "settings.eci.vswitch is missing: write the ids of one or more vSwitches, for example [vsw-bp1xyz]" -}}{{- end -}}
{{- if not $eci.security_group -}}{{- $faults = append $faults "settings.eci.security_group is missing: write the id of a security group, for example sg-bp1xyz" -}}{{- end -}}
{{- end -}}
{{- if ne (empty .Values.credentials.accessKey) (empty .Values.credentials.secretKey) -}}{{- $faults = append $faults "credentials: accessKey and secretKey go together" -}}{{- end -}}
{{- if and .Values.credentials.existingSecret .Values.credentials.accessKey -}}{{- $faults = append $faults "credentials: give existingSecret or accessKey, not both" -}}{{- end -}}
{{- range $path, $values := dict "settings" .Values.settings "settings.eci" $eci "credentials" .Values.credentials "image" .Values.image -}}
{{- range $key, $value := $values -}}
{{- range (kindIs "slice" $value | ternary $value (list $value)) -}}
{{- if and (kindIs "string" .) (regexMatch "(?i)\\.\\.\\.|…|<[^<>]*>|\\$\\{?[a-z_]|\\bx{3,}\\b|x{5,}|\\byour\\b|\\*{3,}|\\?{3,}|^(todo|tbd|fix-?me|(change|replace)[-_]?(me|this|it)|placeholder)$" .) -}}
{{- $said := eq $path "credentials" | ternary "" (printf " = %q" .) -}}
{{- $faults = append $faults (printf "%s.%s%s: this is a placeholder; write the real value" $path $key $said) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.placement "policy") (semverCompare "<1.36.0-0" .Capabilities.KubeVersion.Version) -}}{{- $faults = append $faults (printf "placement: policy needs Kubernetes 1.36 or newer, and this is %s; take webhook" .Capabilities.KubeVersion.Version) -}}{{- end -}}
{{- if .Values.preemptible -}}
{{- if eq .Values.placement "policy" -}}{{- $faults = append $faults "placement: preemptible Jobs need the webhook, for a policy adds nothing to Jobs; take webhook or auto" -}}{{- end -}}
{{- if semverCompare "<1.30.0-0" .Capabilities.KubeVersion.Version -}}{{- $faults = append $faults (printf "preemptible needs Kubernetes 1.30 or newer, and this is %s" .Capabilities.KubeVersion.Version) -}}{{- end -}}
{{- if not (.Capabilities.APIVersions.Has "ensurance.crane.io/v1alpha1") -}}{{- $faults = append $faults "preemptible: the definitions of its objects are not there yet; first kubectl apply -f deploy/preemptible/crds.yaml" -}}{{- end -}}
{{- end -}}
{{- if $faults -}}{{- fail (printf "\n\n  %s\n" (join "\n  " $faults)) -}}{{- end -}}
{{- end -}}
