<?php

require $argv[1];
foreach (file('php://stdin', FILE_IGNORE_NEW_LINES) as $line) {
    $fields = array_map('base64_decode', explode("\t", $line));
    $names = ['Webhook-Id', 'Webhook-Timestamp', 'Webhook-Signature'];
    $headers = array_filter(array_combine($names, array_slice($fields, 0, 3)), fn ($value) => $value !== '');
    try {
        verify_webhook($headers, $fields[3], array_slice($fields, 4));
        echo "accepted\n";
    } catch (UnexpectedValueException $refused) {
        echo 'refused ', $refused->getMessage(), "\n";
    }
}
