// Command kubernetes is a whole Kubernetes for tests in one program: etcd, the API server, the
// controllers, the scheduler, the kubelet, the proxy and kubectl. The first argument says which of
// them to be; all others are that component's own.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// etcd reads os.Args itself and has no cobra command to run.
const etcd = "etcd"

func command(component string) *cobra.Command {
	switch component {
	case "kube-apiserver":
		return apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		return controllers.NewControllerManagerCommand()
	case "kube-scheduler":
		return scheduler.NewSchedulerCommand()
	case "kube-proxy":
		return proxy.NewProxyCommand()
	case "kubelet":
		return kubelet.NewKubeletCommand(context.Background())
	case "kubectl":
		return kubectl.NewDefaultKubectlCommand()
	default:
		return nil
	}
}

func main() {
	if len(os.Args) < 2 {
		refuse("")
	}
	component := os.Args[1]
	// Components look at os.Args[0] for their name and at the rest for their flags.
	os.Args = slices.Concat([]string{component}, os.Args[2:])
	if component == etcd {
		etcdmain.Main(os.Args)
		return
	}
	chosen := command(component)
	if chosen == nil {
		refuse(component)
	}
	os.Exit(cli.Run(chosen))
}

func refuse(component string) {
	known := []string{etcd, "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"}
	fmt.Fprintf(os.Stderr, "%q is no component; write one of %s\n", component, strings.Join(known, ", "))
	os.Exit(2)
}
