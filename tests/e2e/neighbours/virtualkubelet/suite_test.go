// Package suite runs the Go library's own end-to-end suite, unmodified, against the virtual node that the flags name.
package suite

import (
	"flag"
	"testing"

	"github.com/virtual-kubelet/virtual-kubelet/test/e2e"
)

var config e2e.EndToEndTestSuiteConfig

func init() {
	flag.StringVar(&config.Kubeconfig, "kubeconfig", "", "of the cluster")
	flag.StringVar(&config.Namespace, "namespace", "default", "that the suite's pods are made in")
	flag.StringVar(&config.NodeName, "node-name", "", "the virtual node")
	flag.DurationVar(&config.WatchTimeout, "watch-timeout", 0, "how long a case waits for what it wants to see")
}

func TestVirtualNode(t *testing.T) {
	e2e.NewEndToEndTestSuite(config).Run(t)
}
