// Serves Pulumi's provider for Kubernetes; its schema is read from the files beside the command.
package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
)

const module = "github.com/pulumi/pulumi-kubernetes/provider/v4"

func main() {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	read := func(name string) []byte {
		content, err := os.ReadFile(filepath.Join(filepath.Dir(self), name))
		if err != nil {
			panic(err)
		}
		return content
	}
	provider.Serve("kubernetes", version(), read("schema.json"), read("terraform-mapping.json"))
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return strings.TrimPrefix(dependency.Version, "v")
		}
	}
	panic(module + " is not among the modules that this is built from")
}
