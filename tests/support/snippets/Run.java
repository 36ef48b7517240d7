import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.security.SignatureException;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

public final class Run {
    private static final String[] NAMES = {"webhook-id", "webhook-timestamp", "webhook-signature"};

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            byte[][] fields = Arrays.stream(line.split("\t", -1)).map(Base64.getDecoder()::decode).toArray(byte[][]::new);
            Map<String, String> headers = new HashMap<>();
            for (int place = 0; place < NAMES.length; place++) {
                if (fields[place].length > 0) headers.put(NAMES[place], new String(fields[place], StandardCharsets.UTF_8));
            }
            List<String> secrets = Arrays.stream(fields).skip(4).map(key -> new String(key, StandardCharsets.UTF_8)).toList();
            try {
                VerifyWebhook.verify(headers::get, fields[3], secrets);
                System.out.println("accepted");
            } catch (SignatureException refused) {
                System.out.println("refused " + refused.getMessage());
            }
        }
    }
}
