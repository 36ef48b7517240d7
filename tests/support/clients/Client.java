// Uses a service by java.net.http.HttpClient: java Client.java URL. One line a check: its name, a tab, the outcome.
import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

public class Client {
    interface Check {
        Object run() throws Exception;
    }

    static final Duration BOUND = Duration.ofSeconds(90);
    static final String ECHO = "{\"type\":\"echo\",\"parameters\":[1]}";
    // No version is named: each request on a new connection offers h2c, as in every program that does not think of it.
    static final HttpClient CLIENT = HttpClient.newHttpClient();
    static String url;

    public static void main(String[] arguments) throws Exception {
        url = arguments[0];
        check("submit", () -> summary(send(post("/api/v1/jobs", ECHO))));
        check("submit on a new connection", () -> summary(HttpClient.newHttpClient().send(post("/api/v1/jobs", ECHO).build(), BodyHandlers.ofString())));
        check("submit and wait", () -> summary(send(post("/api/v1/jobs", ECHO).header("Prefer", "wait=60"))));
        check("large body", () -> summary(fresh(post("/api/v1/jobs", "{\"type\":\"echo\",\"parameters\":\"" + "x".repeat(200_000) + "\"}"))));
        check("chunked body", () -> summary(fresh(request("/api/v1/jobs/batch")
            .header("Content-Type", "application/x-ndjson")
            .POST(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream((ECHO + "\n").repeat(500).getBytes()))))));
        check("expect continue", () -> summary(fresh(post("/api/v1/jobs", ECHO).expectContinue(true))));
        check("head", () -> summary(fresh(request("/healthz").method("HEAD", BodyPublishers.noBody()))));
        check("no body", () -> summary(fresh(request("/api/v1/queues/java/pause").POST(BodyPublishers.noBody()))));
        check("many at once", Client::many);
        check("long poll", Client::longPoll);
        check("not modified", Client::notModified);
        check("lines", Client::lines);
        check("socket", Client::socket);
        System.exit(0);  // the client's threads would keep it
    }

    static void check(String name, Check check) {
        String outcome;
        try {
            outcome = String.valueOf(check.run());
        } catch (Exception error) {
            outcome = error.toString();
        }
        System.out.println(name + "\t" + outcome.replace("\n", " "));
    }

    static HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(URI.create(url + path)).timeout(BOUND);
    }

    static HttpRequest.Builder post(String path, String body) {
        return request(path).header("Content-Type", "application/json").POST(BodyPublishers.ofString(body));
    }

    static HttpResponse<String> send(HttpRequest.Builder request) throws Exception {
        return CLIENT.send(request.build(), BodyHandlers.ofString());
    }

    static HttpResponse<String> fresh(HttpRequest.Builder request) throws Exception {
        return HttpClient.newHttpClient().send(request.build(), BodyHandlers.ofString());
    }

    static String summary(HttpResponse<String> response) {
        return response.statusCode() + " " + response.version();
    }

    static String member(HttpResponse<String> response, String name) {
        var found = Pattern.compile("\"" + name + "\":\\s*\"([^\"]*)\"").matcher(response.body());
        return found.find() ? found.group(1) : response.body();
    }

    static Object many() {
        var sent = IntStream.range(0, 20)
            .mapToObj(number -> CLIENT.sendAsync(post("/api/v1/jobs", ECHO).build(), BodyHandlers.ofString()))
            .collect(Collectors.toList());
        return sent.stream().map(each -> each.join().statusCode()).distinct().collect(Collectors.toList());
    }

    static Object longPoll() throws Exception {
        var accepted = send(post("/api/v1/jobs", "{\"type\":\"wait-for-gate\",\"parameters\":{\"name\":\"java\"}}"));
        var path = "/api/v1/jobs/" + member(accepted, "jobId");
        var known = "";
        for (int asked = 0; asked < 10; asked++) {
            var builder = request(path + "?wait=15");
            var response = fresh(known.isEmpty() ? builder : builder.header("If-None-Match", known));
            known = response.headers().firstValue("ETag").orElse("");
            if (response.statusCode() == 200 && member(response, "status").equals("completed")) return "completed";
        }
        return "it never ended";
    }

    static Object notModified() throws Exception {
        var ended = send(post("/api/v1/jobs", ECHO).header("Prefer", "wait=60"));
        var path = "/api/v1/jobs/" + member(ended, "jobId");
        var known = send(request(path)).headers().firstValue("ETag").orElse("");
        return summary(fresh(request(path).header("If-None-Match", known)));
    }

    static Object lines() throws Exception {
        var accepted = send(post("/api/v1/jobs", ECHO));
        var stream = request("/api/v1/jobs/" + member(accepted, "jobId") + "/events/stream").header("Accept", "text/event-stream");
        var response = HttpClient.newHttpClient().send(stream.build(), BodyHandlers.ofLines());
        return response.body().filter(line -> line.startsWith("event:")).map(line -> line.substring(6).strip()).collect(Collectors.joining(" "));
    }

    static Object socket() throws Exception {
        var heard = new CompletableFuture<String>();
        var listener = new WebSocket.Listener() {
            @Override
            public CompletionStage<?> onText(WebSocket socket, CharSequence text, boolean last) {
                heard.complete(text.toString());
                return null;
            }

            @Override
            public void onError(WebSocket socket, Throwable error) {
                heard.completeExceptionally(error);
            }
        };
        listenTo(listener).sendText("{\"type\":\"ping\"}", true);
        return heard.get(BOUND.toSeconds(), TimeUnit.SECONDS);
    }

    static WebSocket listenTo(WebSocket.Listener listener) throws Exception {
        var address = URI.create(url.replace("http", "ws") + "/ws/jobs");
        return HttpClient.newHttpClient().newWebSocketBuilder().buildAsync(address, listener).get(BOUND.toSeconds(), TimeUnit.SECONDS);
    }
}
