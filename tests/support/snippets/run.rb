NAMES = %w[webhook-id webhook-timestamp webhook-signature].freeze

require ARGV.fetch(0)
$stdin.each_line(chomp: true) do |line|
  fields = line.split("\t", -1).map { |field| field.unpack1("m0") }
  headers = NAMES.zip(fields).to_h.reject { |_, value| value.empty? }
  secrets = fields.drop(4).map { |secret| secret.force_encoding("UTF-8") }
  verify_webhook(headers, fields[3], secrets)
  puts "accepted"
rescue ArgumentError => e
  puts "refused #{e.message}"
end
