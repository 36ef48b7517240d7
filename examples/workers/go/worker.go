// Worker for Duly in Go, with the standard library only.
//
// Runs two job types: `render` reports progress after each page, continues from its checkpoint after a crash, and
// submits a `mail` as child job. Up to ten jobs run at once; start several of these for more throughput:
//
//	DULY_URL=http://127.0.0.1:8000 DULY_KEY=duly_… go run worker.go
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
	"time"
)

type object = map[string]any

type lease struct {
	LeaseID, IdempotencyToken string
	Checkpoint                struct{ Page float64 } // 0 in a first attempt
	Job                       struct {
		JobID, Type string
		Parameters  struct{ Pages, Seconds float64 }
	}
}

var url, key = os.Getenv("DULY_URL") + "/api/v1/leases", os.Getenv("DULY_KEY")
var client = http.Client{Timeout: time.Minute}
var errStopped = errors.New("stopped") // the job was cancelled, or its lease is lost

// Sends a request until the service responds, and decodes the response: each request may be repeated.
func post(path string, body object, into any) error {
	content, _ := json.Marshal(body)
	for ; ; time.Sleep(time.Second / 2) {
		request, _ := http.NewRequest("POST", url+path, bytes.NewReader(content))
		request.Header.Set("Content-Type", "application/json")
		if key != "" {
			request.Header.Set("Authorization", "Bearer "+key)
		}
		response, err := client.Do(request)
		if err != nil {
			continue
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		switch status := response.StatusCode; {
		case status == 409: // LEASE_LOST: another worker may run the job
			return errStopped
		case status < 300 && err == nil:
			return json.Unmarshal(text, into)
		case status >= 300 && status != 429 && status != 503:
			return fmt.Errorf("%s: %d %s", path, status, text)
		}
	}
}

// Renders the pages that are left, and submits a mail about them.
func render(l lease) (object, error) {
	pages := l.Job.Parameters.Pages
	for page := l.Checkpoint.Page + 1; page <= pages; page++ {
		time.Sleep(time.Duration(l.Job.Parameters.Seconds * float64(time.Second)))
		report := object{"progress": 100 * page / pages, "message": fmt.Sprint("page ", page), "checkpoint": object{"page": page}}
		var answer struct{ CancelRequested bool }
		if err := post("/"+l.LeaseID+"/heartbeat", report, &answer); err != nil {
			return nil, err
		} else if answer.CancelRequested {
			return nil, errStopped
		}
	}
	var children struct{ JobIDs []string }
	mail := object{"type": "mail", "parameters": object{"pages": pages}}
	if err := post("/"+l.LeaseID+"/jobs", object{"jobs": []object{mail}}, &children); err != nil {
		return nil, err
	}
	return object{"pages": pages, "mail": children.JobIDs[0]}, nil
}

// Sends a mail, or renders pages, and reports the end of the job.
func run(l lease) {
	result, err := object{"sent": true, "token": l.IdempotencyToken}, error(nil)
	if l.Job.Type == "render" {
		result, err = render(l)
	}
	verb, body := "/complete", object{"result": result}
	if err != nil {
		verb, body = "/fail", object{"error": object{"message": err.Error()}}
	}
	if err := post("/"+l.LeaseID+verb, body, &object{}); err != nil {
		log.Print("lost the lease of job ", l.Job.JobID)
	}
}

func main() {
	claim := object{"types": []string{"render", "mail"}, "max": 10, "waitSeconds": 30, "workerName": fmt.Sprint("go-", os.Getpid())}
	if seconds := os.Getenv("LEASE_SECONDS"); seconds != "" {
		claim["leaseSeconds"] = json.Number(seconds)
	}
	for {
		var found struct{ Leases []lease }
		if err := post("", claim, &found); err != nil {
			log.Fatal(err)
		}
		var jobs sync.WaitGroup
		for _, each := range found.Leases {
			jobs.Add(1)
			go func(l lease) { run(l); jobs.Done() }(each)
		}
		jobs.Wait()
	}
}
