// Command peer is a virtual node made with the Go library github.com/virtual-kubelet/virtual-kubelet, for
// `make bench PEER=1`. Its provider does as much as a cloud must and no more: it keeps pods in memory, answers a create
// after a while, says Running a moment later, and says that a pod has ended as soon as it is deleted.
//
// It serves no kubelet API: logs and commands are not what is measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/virtual-kubelet/virtual-kubelet/errdefs"
	"github.com/virtual-kubelet/virtual-kubelet/node"
	"github.com/virtual-kubelet/virtual-kubelet/node/api"
	"github.com/virtual-kubelet/virtual-kubelet/node/nodeutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

type options struct {
	kubeconfig, node     string
	lifted               bool
	workers              int
	createTakes, startIn time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "the cluster")
	flag.StringVar(&o.node, "node", "peer", "the node's name")
	flag.BoolVar(&o.lifted, "lifted", false, "without the rate limits that client-go and the library ship with")
	flag.IntVar(&o.workers, "workers", 128, "workers of each of its queues")
	flag.DurationVar(&o.createTakes, "create-takes", 100*time.Millisecond, "how long a create call takes")
	flag.DurationVar(&o.startIn, "start-in", time.Second, "from the create to Running")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return err
	}
	if o.lifted {
		config.QPS = -1
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	cloud := &cloud{pods: map[string]*corev1.Pod{}, createTakes: o.createTakes, startIn: o.startIn}
	configure := []nodeutil.NodeOpt{nodeutil.WithClient(client), func(c *nodeutil.NodeConfig) error {
		room := corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("100k"),
			corev1.ResourceMemory: resource.MustParse("1000Ti"),
			corev1.ResourcePods:   resource.MustParse("20k"),
		}
		c.NumWorkers = o.workers
		c.NodeSpec.Status.Capacity, c.NodeSpec.Status.Allocatable = room, room
		return nil
	}}
	if o.lifted {
		configure = append(configure, nodeutil.WithPodControllerConfigOverrides(withoutBuckets))
	}
	made, err := nodeutil.NewNode(o.node, func(nodeutil.ProviderConfig) (nodeutil.Provider, node.NodeProvider, error) {
		return cloud, nil, nil
	}, configure...)
	if err != nil {
		return err
	}
	go func() {
		if made.WaitReady(ctx, 0) == nil {
			fmt.Println("ready")
		}
	}()
	if err := made.Run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// withoutBuckets leaves the back-off after failures and takes away the token bucket beside it.
func withoutBuckets(c *node.PodControllerConfig) error {
	backOff := func() workqueue.TypedRateLimiter[any] {
		return workqueue.NewTypedItemExponentialFailureRateLimiter[any](5*time.Millisecond, time.Minute)
	}
	c.SyncPodsFromKubernetesRateLimiter = backOff()
	c.DeletePodsFromKubernetesRateLimiter = backOff()
	c.SyncPodStatusFromProviderRateLimiter = backOff()
	return nil
}

// cloud is the provider: instances in memory.
type cloud struct {
	createTakes, startIn time.Duration

	mu     sync.Mutex
	pods   map[string]*corev1.Pod
	notify func(*corev1.Pod)
}

func (c *cloud) NotifyPods(_ context.Context, notify func(*corev1.Pod)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notify = notify
}

func (c *cloud) CreatePod(ctx context.Context, pod *corev1.Pod) error {
	select {
	case <-time.After(c.createTakes):
	case <-ctx.Done():
		return ctx.Err()
	}
	c.report(withStatus(pod, waiting(pod)))
	time.AfterFunc(c.startIn, func() {
		if c.has(pod) {
			c.report(withStatus(pod, running(pod)))
		}
	})
	return nil
}

func (c *cloud) UpdatePod(context.Context, *corev1.Pod) error { return nil }

func (c *cloud) DeletePod(_ context.Context, pod *corev1.Pod) error {
	c.mu.Lock()
	held, found := c.pods[key(pod.Namespace, pod.Name)]
	delete(c.pods, key(pod.Namespace, pod.Name))
	notify := c.notify
	c.mu.Unlock()
	if !found {
		return errdefs.NotFound("no such instance")
	}
	notify(withStatus(held, ended(held)))
	return nil
}

func (c *cloud) GetPod(_ context.Context, namespace, name string) (*corev1.Pod, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pod, found := c.pods[key(namespace, name)]; found {
		return pod.DeepCopy(), nil
	}
	return nil, errdefs.NotFound("no such instance")
}

func (c *cloud) GetPodStatus(ctx context.Context, namespace, name string) (*corev1.PodStatus, error) {
	pod, err := c.GetPod(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	return &pod.Status, nil
}

func (c *cloud) GetPods(context.Context) ([]*corev1.Pod, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pods := make([]*corev1.Pod, 0, len(c.pods))
	for _, pod := range c.pods {
		pods = append(pods, pod.DeepCopy())
	}
	return pods, nil
}

func (c *cloud) has(pod *corev1.Pod) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	held, found := c.pods[key(pod.Namespace, pod.Name)]
	return found && held.UID == pod.UID
}

func (c *cloud) report(pod *corev1.Pod) {
	c.mu.Lock()
	c.pods[key(pod.Namespace, pod.Name)] = pod
	notify := c.notify
	c.mu.Unlock()
	notify(pod)
}

func key(namespace, name string) string { return namespace + "/" + name }

func withStatus(pod *corev1.Pod, status corev1.PodStatus) *corev1.Pod {
	copied := pod.DeepCopy()
	copied.Status = status
	return copied
}

func waiting(pod *corev1.Pod) corev1.PodStatus {
	state := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
	return status(pod, corev1.PodPending, state, corev1.ConditionFalse)
}

func running(pod *corev1.Pod) corev1.PodStatus {
	state := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	said := status(pod, corev1.PodRunning, state, corev1.ConditionTrue)
	said.PodIP, said.PodIPs = "10.1.2.3", []corev1.PodIP{{IP: "10.1.2.3"}}
	return said
}

func ended(pod *corev1.Pod) corev1.PodStatus {
	state := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 143, Signal: 15, Reason: "Error", FinishedAt: metav1.Now(),
	}}
	return status(pod, corev1.PodFailed, state, corev1.ConditionFalse)
}

func status(
	pod *corev1.Pod, phase corev1.PodPhase, state corev1.ContainerState, ready corev1.ConditionStatus,
) corev1.PodStatus {
	now := metav1.Now()
	said := corev1.PodStatus{Phase: phase, HostIP: "10.0.0.1", StartTime: &now}
	for _, each := range []struct {
		kind   corev1.PodConditionType
		status corev1.ConditionStatus
	}{
		{corev1.PodInitialized, corev1.ConditionTrue},
		{corev1.PodReady, ready},
		{corev1.ContainersReady, ready},
		{corev1.PodScheduled, corev1.ConditionTrue},
	} {
		said.Conditions = append(said.Conditions, corev1.PodCondition{
			Type: each.kind, Status: each.status, LastTransitionTime: now,
		})
	}
	for _, container := range pod.Spec.Containers {
		said.ContainerStatuses = append(said.ContainerStatuses, corev1.ContainerStatus{
			Name: container.Name, Image: container.Image, State: state, Ready: ready == corev1.ConditionTrue,
		})
	}
	return said
}

var errNotServed = errors.New("this node serves no kubelet API")

func (*cloud) GetContainerLogs(
	context.Context, string, string, string, api.ContainerLogOpts,
) (io.ReadCloser, error) {
	return nil, errNotServed
}

func (*cloud) RunInContainer(context.Context, string, string, string, []string, api.AttachIO) error {
	return errNotServed
}

func (*cloud) AttachToContainer(context.Context, string, string, string, api.AttachIO) error {
	return errNotServed
}

func (*cloud) GetStatsSummary(context.Context) (*stats.Summary, error) { return nil, errNotServed }

func (*cloud) GetMetricsResource(context.Context) ([]*dto.MetricFamily, error) {
	return nil, errNotServed
}

func (*cloud) PortForward(context.Context, string, string, int32, io.ReadWriteCloser) error {
	return errNotServed
}
