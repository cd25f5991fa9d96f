//! Workloads as people write them are taken, and nothing changes when they are written again.

use serde::Deserialize;

use super::*;

const MANIFESTS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: { name: shop, labels: { app.kubernetes.io/name: shop } }
spec:
  replicas: 3
  minReadySeconds: 5
  revisionHistoryLimit: 3
  strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 }, type: RollingUpdate }
  selector: { matchLabels: { app.kubernetes.io/name: shop } }
  template:
    metadata:
      annotations: { prometheus.io/scrape: "true", prometheus.io/port: "9797" }
      labels: { app.kubernetes.io/name: shop }
    spec:
      serviceAccountName: shop
      containers:
        - name: shop
          image: registry.example/shop:1.2.3
          imagePullPolicy: IfNotPresent
          command: [./shop, --port=9898, --level=info]
          env:
            - { name: POD_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
          ports:
            - { name: http, containerPort: 9898, protocol: TCP }
          livenessProbe: { exec: { command: [shopcli, check] }, initialDelaySeconds: 5, timeoutSeconds: 5 }
          readinessProbe: { httpGet: { path: /ready, port: http } }
          resources: { limits: { cpu: 2000m, memory: 512Mi }, requests: { cpu: 100m, memory: 64Mi } }
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: store }
spec:
  serviceName: store
  replicas: 3
  podManagementPolicy: Parallel
  selector: { matchLabels: { app: store } }
  template:
    metadata: { labels: { app: store } }
    spec:
      terminationGracePeriodSeconds: 1800
      initContainers:
        - { name: init, image: busybox, command: [sh, -c, "true"], volumeMounts: [{ name: data, mountPath: /data }] }
      containers:
        - name: store
          image: registry.example/store:4
          lifecycle: { preStop: { exec: { command: [/bin/sh, -c, drain] } } }
          volumeMounts:
            - { name: data, mountPath: /data, subPath: db }
            - { name: conf, mountPath: /etc/store }
      volumes:
        - { name: conf, configMap: { name: store } }
  volumeClaimTemplates:
    - metadata: { name: data }
      spec: { accessModes: [ReadWriteOnce], storageClassName: fast, resources: { requests: { storage: 1Gi } } }
---
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: logs, namespace: ns, labels: { k8s-app: logs } }
spec:
  selector: { matchLabels: { name: logs } }
  updateStrategy: { type: RollingUpdate, rollingUpdate: { maxUnavailable: 10% } }
  template:
    metadata: { labels: { name: logs } }
    spec:
      tolerations:
        - { key: node-role.kubernetes.io/control-plane, operator: Exists, effect: NoSchedule }
      priorityClassName: system-node-critical
      hostNetwork: true
      containers:
        - name: logs
          image: registry.example/logs@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
          securityContext: { privileged: true }
          volumeMounts: [{ name: varlog, mountPath: /var/log, readOnly: true }]
      volumes: [{ name: varlog, hostPath: { path: /var/log } }]
---
apiVersion: batch/v1
kind: CronJob
metadata: { name: backup }
spec:
  schedule: "30 2 * * 1-5"
  timeZone: Europe/Berlin
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 600
  jobTemplate:
    spec:
      backoffLimit: 2
      ttlSecondsAfterFinished: 86400
      template:
        spec:
          restartPolicy: OnFailure
          containers:
            - { name: backup, image: registry.example/backup, args: [--all], envFrom: [{ secretRef: { name: backup } }] }
---
apiVersion: batch/v1
kind: Job
metadata: { generateName: render- }
spec:
  completions: 8
  parallelism: 4
  completionMode: Indexed
  backoffLimitPerIndex: 1
  maxFailedIndexes: 2
  podFailurePolicy:
    rules:
      - { action: FailJob, onExitCodes: { containerName: main, operator: In, values: [42] } }
      - { action: Ignore, onPodConditions: [{ type: DisruptionTarget }] }
  template:
    spec:
      restartPolicy: Never
      containers: [{ name: main, image: perl:5, command: [perl, -e, print] }]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: store }
spec: { maxUnavailable: 1, selector: { matchLabels: { app: store } } }
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: shop }
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: shop }
  minReplicas: 2
  maxReplicas: 4
  metrics:
    - { type: Resource, resource: { name: cpu, target: { type: Utilization, averageUtilization: 99 } } }
    - { type: Resource, resource: { name: memory, target: { type: AverageValue, averageValue: 200Mi } } }
  behavior:
    scaleDown: { stabilizationWindowSeconds: 300, policies: [{ type: Percent, value: 10, periodSeconds: 60 }] }
"#;

#[test]
fn workloads_as_people_write_them_are_taken_and_settle() {
    let mut kinds = Vec::new();
    for document in serde_yaml::Deserializer::from_str(MANIFESTS) {
        let body = Value::deserialize(document).expect("YAML");
        let kind = body["kind"].as_str().expect("kind").to_owned();
        let stored = create(body).unwrap_or_else(|status| panic!("{kind}: {status}"));
        assert_eq!(update(Target::Main, &stored, |_| {}), Ok(Write::Unchanged), "{kind}");
        kinds.push(kind);
    }
    assert_eq!(kinds.len(), 7, "{kinds:?}");
}
