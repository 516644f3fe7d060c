// Writes metrics.txt by the exporter's own code, without a GPU. In a checkout of https://github.com/NVIDIA/dcgm-exporter
// at 4.5.3-4.8.2: put it into cmd/held, and `go run ./cmd/held etc/default-counters.csv`.
//
// Stands for: the kubelet's socket of pod resources, and DCGM's values
// Held by: nothing, it is no part of a test: names and labels alone count, which are the exporter's.
package main

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/NVIDIA/go-dcgm/pkg/dcgm"
	"go.uber.org/mock/gomock"
	"google.golang.org/grpc"
	pr "k8s.io/kubelet/pkg/apis/podresources/v1"

	mockdeviceinfo "github.com/NVIDIA/dcgm-exporter/internal/mocks/pkg/deviceinfo"
	"github.com/NVIDIA/dcgm-exporter/internal/pkg/appconfig"
	"github.com/NVIDIA/dcgm-exporter/internal/pkg/collector"
	"github.com/NVIDIA/dcgm-exporter/internal/pkg/counters"
	"github.com/NVIDIA/dcgm-exporter/internal/pkg/deviceinfo"
	"github.com/NVIDIA/dcgm-exporter/internal/pkg/rendermetrics"
	"github.com/NVIDIA/dcgm-exporter/internal/pkg/transformation"
)

type lister struct {
	pr.UnimplementedPodResourcesListerServer
}

func (lister) List(context.Context, *pr.ListPodResourcesRequest) (*pr.ListPodResourcesResponse, error) {
	return &pr.ListPodResourcesResponse{PodResources: []*pr.PodResources{{
		Name: "vllm-main-6b5b49bdf8-fr8b8", Namespace: "inference",
		Containers: []*pr.ContainerResources{{Name: "vllm", Devices: []*pr.ContainerDevices{{
			ResourceName: appconfig.NvidiaResourceName, DeviceIds: []string{"GPU-0", "GPU-1"}}}}},
	}}}, nil
}

type silent struct{}

func (silent) Errorf(string, ...any)     {}
func (silent) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (silent) Helper()                   {}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func main() {
	socket := os.TempDir() + "/held.sock"
	os.Remove(socket)
	server := grpc.NewServer()
	pr.RegisterPodResourcesListerServer(server, lister{})
	go server.Serve(must(net.Listen("unix", socket)))
	c := &appconfig.Config{Kubernetes: true, KubernetesGPUIdType: appconfig.GPUUID, PodResourcesKubeletSocket: socket, CollectDCP: true,
		MetricGroups: []dcgm.MetricGroup{}}
	set := must(counters.ExtractCounters(must(counters.ReadCSVFile(os.Args[1])), c))
	metrics := collector.MetricsByCounter{}
	for _, counter := range set.DCGMCounters {
		if counter.IsLabel() {
			continue
		}
		for gpu := range 3 {
			metrics[counter] = append(metrics[counter], collector.Metric{Counter: counter, Value: "0", GPU: fmt.Sprint(gpu),
				UUID: "UUID", GPUUUID: fmt.Sprintf("GPU-%d", gpu), GPUPCIBusID: fmt.Sprintf("00000000:3%d:00.0", gpu), GPUDevice: fmt.Sprintf("nvidia%d", gpu),
				GPUModelName: "NVIDIA L4", Hostname: "ip-10-20-1-2", Labels: map[string]string{"DCGM_FI_DRIVER_VERSION": "580.95.05"}, Attributes: map[string]string{}})
		}
	}
	ctrl := gomock.NewController(silent{})
	info := mockdeviceinfo.NewMockProvider(ctrl)
	info.EXPECT().GPUCount().Return(uint(3)).AnyTimes()
	info.EXPECT().GPU(gomock.Any()).Return(deviceinfo.GPUInfo{}).AnyTimes()
	if err := transformation.NewPodMapper(c).Process(metrics, info); err != nil {
		panic(err)
	}
	if err := rendermetrics.RenderGroup(os.Stdout, dcgm.FE_GPU, metrics); err != nil {
		panic(err)
	}
}
