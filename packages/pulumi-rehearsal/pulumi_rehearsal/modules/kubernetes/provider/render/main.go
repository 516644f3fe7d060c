// Renders charts as Helm does, with the library of the provider: charts with values in, manifests or what is wrong out.
package main

import (
	"encoding/json"
	"os"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

type request struct {
	Chart     string
	Name      string
	Namespace string
	Version   string
	Values    map[string]interface{}
}

type answer struct {
	Manifests map[string]string `json:"manifests,omitempty"`
	Error     string            `json:"error,omitempty"`
}

func main() {
	var requests []request
	if err := json.NewDecoder(os.Stdin).Decode(&requests); err != nil {
		panic(err)
	}
	answers := make([]answer, len(requests))
	for index, one := range requests {
		manifests, err := render(one)
		answers[index].Manifests = manifests
		if err != nil {
			answers[index].Error = err.Error()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		panic(err)
	}
}

func render(one request) (map[string]string, error) {
	chart, err := loader.Load(one.Chart)
	if err != nil {
		return nil, err
	}
	if err := chartutil.ProcessDependenciesWithMerge(chart, one.Values); err != nil {
		return nil, err
	}
	version, err := chartutil.ParseKubeVersion(one.Version)
	if err != nil {
		return nil, err
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *version
	release := chartutil.ReleaseOptions{Name: one.Name, Namespace: one.Namespace, Revision: 1, IsInstall: true}
	values, err := chartutil.ToRenderValues(chart, one.Values, release, capabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, values)
}
