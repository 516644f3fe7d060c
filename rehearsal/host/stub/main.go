// Command stub stands for `vllm serve` where no GPU is to be had; the hub's client beside it in the image is the real one.
package main

import (
	"log"
	"os"
)

func main() {
	log.SetFlags(0)
	serve(os.Args[1:])
}

// option is the value after a flag.
func option(arguments []string, name string) string {
	for i, argument := range arguments[:len(arguments)-1] {
		if argument == name {
			return arguments[i+1]
		}
	}
	return ""
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
