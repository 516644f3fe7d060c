package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// server plays vLLM: a token for whoever asks, streamed tokens at a steady pace, /health and /metrics; it refuses beyond
// --max-num-queued-reqs, and drains on SIGTERM. SIGUSR1 stops its engine, as SIGSTOP stops the real one's; SIGUSR2 ends
// it with status 0, as a dead engine ends the real one. STUB_LOAD_SECONDS pass before it opens its port.
//
// Stands for: a vLLM 0.32.0 server before its host: completions, streams, refusals, metrics, draining.
// Held by: tests/real/test_stub.py::test_the_stub_answers_as_vllm_does
type server struct {
	model    string
	bound    int64
	tokens   atomic.Int64
	refused  atomic.Int64
	running  atomic.Int64
	hung     atomic.Bool
	draining atomic.Bool
	work     sync.WaitGroup
}

func serve(arguments []string) {
	s := &server{model: option(arguments, "--served-model-name")}
	s.bound = int64(must(strconv.Atoi(option(arguments, "--max-num-queued-reqs"))))
	size := weights(arguments[1], option(arguments, "--revision"))
	if seconds, slow := os.LookupEnv("STUB_LOAD_SECONDS"); slow {
		time.Sleep(time.Duration(must(strconv.Atoi(seconds))) * time.Second)
	}
	must(0, os.WriteFile(filepath.Join(os.Getenv("VLLM_CACHE_ROOT"), "graph"), []byte("compiled"), 0o644))
	log.Printf("gpus %v, uid %d, %d bytes of weights", gpus(), os.Getuid(), size)
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/metrics", s.metrics)
	mux.HandleFunc("/v1/completions", s.complete)
	mux.HandleFunc("/invocations", s.complete)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)
	door := &http.Server{Addr: option(arguments, "--host") + ":" + option(arguments, "--port"), Handler: mux}
	go func() {
		if err := door.ListenAndServe(); err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	for received := range signals {
		switch received {
		case syscall.SIGUSR1:
			s.hung.Store(true)
		case syscall.SIGUSR2:
			os.Exit(0)
		case syscall.SIGTERM:
			s.draining.Store(true)
			go func() {
				s.work.Wait()
				// a handler that is done has its last bytes still to be sent
				soon, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				door.Shutdown(soon)
				os.Exit(0)
			}()
		}
	}
}

// weights is the size of what would be loaded, of main where no revision is given; without it there is no server.
func weights(model, revision string) int64 {
	path := filepath.Join(os.Getenv("HF_HUB_CACHE"), "models--"+strings.ReplaceAll(model, "/", "--"))
	if revision == "" {
		revision = string(must(os.ReadFile(filepath.Join(path, "refs", "main"))))
	}
	return must(os.Stat(filepath.Join(path, "snapshots", revision, "model.safetensors"))).Size()
}

// gpus are those that the CDI specification of the stand-in driver gave.
func gpus() []string {
	var found []string
	for _, value := range os.Environ() {
		if gpu, isGpu := strings.CutPrefix(value, "STUB_GPU_"); isGpu {
			found = append(found, strings.TrimSuffix(gpu, "=yes"))
		}
	}
	return found
}

func (s *server) metrics(w http.ResponseWriter, _ *http.Request) {
	for _, metric := range []struct {
		name, labels string
		value        int64
	}{
		{"generation_tokens_total", `engine="0",`, s.tokens.Load()},
		{"num_requests_running", `engine="0",`, s.running.Load()},
		{"num_requests_waiting", `engine="0",`, 0},
		{"kv_cache_usage_perc", `engine="0",`, 0},
		{"admission_rejections_total", `reason="max_num_queued_reqs",`, s.refused.Load()},
	} {
		fmt.Fprintf(w, "vllm:%s{%smodel_name=%q} %d.0\n", metric.name, metric.labels, s.model, metric.value)
	}
}

func fail(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprint(w, body)
}

func (s *server) complete(w http.ResponseWriter, r *http.Request) {
	s.work.Add(1)
	defer s.work.Done()
	defer s.running.Add(-1)
	if s.running.Add(1) > s.bound {
		s.refused.Add(1)
		fail(w, http.StatusServiceUnavailable, `{"error":{"message":"The engine is currently busy","type":"Service Unavailable","param":null,"code":503}}`)
		return
	}
	if s.draining.Load() {
		fail(w, http.StatusInternalServerError, `{"error":{"message":"EngineCore is shutting down","type":"InternalServerError","param":null,"code":500}}`)
		return
	}
	var body struct {
		Tokens int  `json:"max_tokens"`
		Stream bool `json:"stream"`
	}
	must(0, json.NewDecoder(r.Body).Decode(&body))
	for s.hung.Load() {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
	if body.Stream {
		s.stream(w, body.Tokens)
		return
	}
	s.tokens.Add(int64(body.Tokens))
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"id":"cmpl-0","object":"text_completion","created":%d,"model":%q,"choices":[{"index":0,"text":%q,"finish_reason":"length"}],`+
		`"usage":{"prompt_tokens":1,"total_tokens":%d,"completion_tokens":%d}}`,
		time.Now().Unix(), s.model, strings.Repeat("1", body.Tokens), body.Tokens+1, body.Tokens)
}

func (s *server) stream(w http.ResponseWriter, tokens int) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	for token := range tokens {
		reason := "null"
		if token == tokens-1 {
			reason = `"length"`
		}
		fmt.Fprintf(w, `data: {"id":"cmpl-0","object":"text_completion","created":%d,"model":%q,"choices":[{"index":0,"text":"%d","finish_reason":%s}]}`+"\n\n",
			time.Now().Unix(), s.model, token, reason)
		w.(http.Flusher).Flush()
		s.tokens.Add(1)
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}
