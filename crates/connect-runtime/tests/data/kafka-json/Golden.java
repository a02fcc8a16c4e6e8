import io.debezium.data.Bits;
import io.debezium.data.Enum;
import io.debezium.data.EnumSet;
import io.debezium.data.Envelope;
import io.debezium.data.Json;
import io.debezium.data.Uuid;
import io.debezium.data.geometry.Geometry;
import io.debezium.time.Date;
import io.debezium.time.MicroTime;
import io.debezium.time.MicroTimestamp;
import io.debezium.time.Timestamp;
import io.debezium.time.Year;
import io.debezium.time.ZonedTimestamp;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.json.JsonConverter;

/** Writes what Kafka's own JsonConverter makes of the cases that tests/converters/kafka_json.rs makes too. */
public class Golden {
    static PrintStream out;

    static JsonConverter converter(String... options) {
        Map<String, String> map = new LinkedHashMap<>();
        for (int i = 0; i < options.length; i += 2) map.put(options[i], options[i + 1]);
        JsonConverter converter = new JsonConverter();
        converter.configure(map, false);
        return converter;
    }

    static final JsonConverter WITH = converter();
    static final JsonConverter WITHOUT = converter("schemas.enable", "false");
    static final JsonConverter NUMERIC = converter("schemas.enable", "false", "decimal.format", "numeric");
    static final JsonConverter KEEP = converter("replace.null.with.default", "false");

    static void line(String name, JsonConverter converter, Schema schema, Object value) {
        byte[] bytes;
        try {
            bytes = converter.fromConnectData("t", schema, value);
        } catch (Exception e) {
            out.println(name + "\terror\t" + e.getMessage());
            return;
        }
        out.println(name + "\tok\t" + (bytes == null ? "(no bytes)" : new String(bytes, StandardCharsets.UTF_8)));
    }

    static void both(String name, Schema schema, Object value) {
        line(name + ".with", WITH, schema, value);
        line(name + ".without", WITHOUT, schema, value);
    }

    static String show(Object value) {
        if (value == null) return "null";
        if (value instanceof byte[] bytes) return "bytes" + Arrays.toString(bytes);
        if (value instanceof Struct struct) {
            StringBuilder text = new StringBuilder("{");
            struct.schema().fields().forEach(f -> text.append(f.name()).append('=').append(show(struct.get(f))).append(';'));
            return text.append('}').toString();
        }
        String type = value.getClass().getSimpleName();
        return type + ":" + value;
    }

    static void read(String name, JsonConverter converter, String text) {
        String result;
        try {
            SchemaAndValue read = converter.toConnectData("t", text == null ? null : text.getBytes(StandardCharsets.UTF_8));
            result = "ok\t" + show(read.value());
        } catch (Exception e) {
            result = "error\t" + e.getClass().getSimpleName() + ": " + String.valueOf(e.getMessage()).split("\n")[0];
        }
        out.println(name + "\t" + text + "\t" + result);
    }

    static Schema row() {
        return SchemaBuilder.struct().name("shop.db.orders.Value").optional()
            .field("id", Schema.INT64_SCHEMA)
            .field("qty", Schema.OPTIONAL_INT32_SCHEMA)
            .field("tiny", Schema.OPTIONAL_INT16_SCHEMA)
            .field("i8", Schema.OPTIONAL_INT8_SCHEMA)
            .field("state", Enum.builder(List.of("new", "paid", "a,b")).optional().build())
            .field("tags", EnumSet.builder("x,y").optional().build())
            .field("price", Decimal.builder(2).parameter("connect.decimal.precision", "10").optional().build())
            .field("ratio", Schema.OPTIONAL_FLOAT64_SCHEMA)
            .field("ratio32", Schema.OPTIONAL_FLOAT32_SCHEMA)
            .field("flag", Schema.OPTIONAL_BOOLEAN_SCHEMA)
            .field("note", Schema.OPTIONAL_STRING_SCHEMA)
            .field("blob", Schema.OPTIONAL_BYTES_SCHEMA)
            .field("doc", Json.builder().optional().build())
            .field("uid", Uuid.builder().optional().build())
            .field("d", Date.builder().optional().build())
            .field("t", MicroTime.builder().optional().build())
            .field("ts3", Timestamp.builder().optional().build())
            .field("ts6", MicroTimestamp.builder().optional().build())
            .field("tz", ZonedTimestamp.builder().optional().build())
            .field("y", Year.builder().optional().build())
            .field("bit1", Schema.OPTIONAL_BOOLEAN_SCHEMA)
            .field("bits", Bits.builder(12).optional().build())
            .field("geo", Geometry.builder().optional().build())
            .build();
    }

    static Struct full(Schema row) {
        Schema geo = row.field("geo").schema();
        return new Struct(row).put("id", 9007199254740993L).put("qty", -3).put("tiny", (short) 300).put("i8", (byte) -1)
            .put("state", "a,b").put("tags", "x,y").put("price", new BigDecimal("-12345.60")).put("ratio", 1.0e7)
            .put("ratio32", 0.1f).put("flag", true).put("note", "a \"b\" \\ / \u00e9 \ud83d\ude00 \n")
            .put("blob", new byte[] {0, 1, (byte) 0xff, 3}).put("doc", "{\"a\": [1, 2]}")
            .put("uid", "6f1c2e7a-0b1d-4c3e-9f00-000000000001").put("d", 18263).put("t", -43384500000L)
            .put("ts3", 1577934245678L).put("ts6", 1577934245678901L).put("tz", "2020-01-02T03:04:05.678Z").put("y", 2020)
            .put("bit1", true).put("bits", new byte[] {(byte) 0xbc, 0x0a})
            .put("geo", Geometry.createValue(geo, new byte[] {1, 1, 0, 0, 0}, 4326));
    }

    static void encode() {
        Schema row = row();
        Struct full = full(row);
        Struct empty = new Struct(row).put("id", 0L);
        both("row.full", row, full);
        both("row.empty", row, empty);
        line("row.numeric", NUMERIC, row, full);
        Schema source = SchemaBuilder.struct().name("io.debezium.connector.mysql.Source")
            .field("db", Schema.STRING_SCHEMA).field("table", Schema.OPTIONAL_STRING_SCHEMA).build();
        Envelope envelope = Envelope.defineSchema().withName("shop.db.orders.Envelope").withRecord(row).withSource(source).build();
        out.println("envelope.schema\tok\t" + WITH.asJsonSchema(envelope.schema()));
        Schema ours = SchemaBuilder.struct().name("shop.db.orders.Envelope").version(2).field("before", row).field("after", row)
            .field("source", source).field("op", Schema.STRING_SCHEMA).field("ts_ms", Schema.OPTIONAL_INT64_SCHEMA).build();
        both("envelope", ours, new Struct(ours).put("before", empty).put("after", full)
            .put("source", new Struct(source).put("db", "db").put("table", "orders")).put("op", "u").put("ts_ms", 1577934245678L));

        for (Schema.Type type : List.of(Schema.Type.INT8, Schema.Type.INT16, Schema.Type.INT32, Schema.Type.INT64,
                Schema.Type.FLOAT32, Schema.Type.FLOAT64, Schema.Type.BOOLEAN, Schema.Type.STRING, Schema.Type.BYTES)) {
            Object value = switch (type) {
                case INT8 -> (byte) -128; case INT16 -> (short) 32767; case INT32 -> Integer.MIN_VALUE;
                case INT64 -> Long.MAX_VALUE; case FLOAT32 -> 3.4028235E38f; case FLOAT64 -> 1.0e-4; case BOOLEAN -> false;
                case STRING -> "s"; default -> new byte[] {1, 2};
            };
            both("scalar." + type, new SchemaBuilder(type).build(), value);
            both("scalar." + type + ".null", new SchemaBuilder(type).optional().build(), null);
        }
        both("none", null, null);
        both("schemaless", null, "x");
        both("array", SchemaBuilder.array(Schema.OPTIONAL_INT32_SCHEMA).build(), Arrays.asList(1, null, 3));
        Map<String, Object> texts = new LinkedHashMap<>();
        texts.put("a", "1"); texts.put("b\"", null);
        both("map.text", SchemaBuilder.map(Schema.STRING_SCHEMA, Schema.OPTIONAL_STRING_SCHEMA).build(), texts);
        Map<Integer, Object> numbers = new LinkedHashMap<>();
        numbers.put(1, "1"); numbers.put(2, null);
        both("map.int", SchemaBuilder.map(Schema.INT32_SCHEMA, Schema.OPTIONAL_STRING_SCHEMA).build(), numbers);
        both("map.empty", SchemaBuilder.map(Schema.INT32_SCHEMA, Schema.STRING_SCHEMA).build(), Map.of());
        Map<Object, Object> mixed = new LinkedHashMap<>();
        mixed.put("a", 1L); mixed.put("b", List.of(true)); mixed.put("c", new LinkedHashMap<>(Map.of("d", 1.5)));
        both("map.schemaless", null, mixed);
        Map<Object, Object> pairs = new LinkedHashMap<>();
        pairs.put("a", 1L); pairs.put(2L, "x"); pairs.put(true, List.of());
        both("map.schemaless.pairs", null, pairs);
        Schema annotated = SchemaBuilder.struct().name("n").version(3).doc("a \"doc\"")
            .field("i", SchemaBuilder.int32().optional().defaultValue(7).doc("seven").build())
            .field("s", SchemaBuilder.string().defaultValue("x").build())
            .field("m", SchemaBuilder.array(Schema.STRING_SCHEMA).optional().defaultValue(List.of("p")).build())
            .field("p", Decimal.builder(3).optional().defaultValue(new BigDecimal("1.500")).build()).build();
        both("defaults", annotated, new Struct(annotated).put("s", "y"));
        line("defaults.keep", KEEP, annotated, new Struct(annotated).put("s", "y"));
        Schema required = SchemaBuilder.struct().field("i", Schema.INT32_SCHEMA).build();
        both("required.null", required, new Struct(required));

        StringBuilder text = new StringBuilder();
        for (char c = 0; c < 0x101; c++) text.append(c);
        text.append("\u2027\u2028\u2029\u202a\ufeff\uffff\ud83d\ude00");
        line("escapes", WITHOUT, Schema.STRING_SCHEMA, text.toString());
        List<Double> doubles = List.of(0.0, -0.0, 1.0, -1.5, 100.0, 9999999.0, 1.0e7, 12345678.9, 0.001, 9.99e-4, 1.0e-4, 123456789012.0,
            1.7976931348623157e308, 4.9e-324, 1.0e21, 1.234e-10, 3.141592653589793, Double.NaN, Double.POSITIVE_INFINITY,
            Double.NEGATIVE_INFINITY);
        line("doubles", WITHOUT, SchemaBuilder.array(Schema.FLOAT64_SCHEMA).build(), doubles);
        List<Float> floats = List.of(0f, -0f, 1f, 0.1f, 1.0e7f, 9999999f, 0.001f, 9.99e-4f, 3.4028235e38f, 1.4e-45f, 16777216f, Float.NaN,
            Float.NEGATIVE_INFINITY);
        line("floats", WITHOUT, SchemaBuilder.array(Schema.FLOAT32_SCHEMA).build(), floats);
        for (String decimal : List.of("0.00", "1.10", "-1.10", "0.0000001", "0.0000000", "-0.00000012", "123456.0000000",
                "12345678901234567890123456789012345.123456789012345678901234567890", "0.000000000000000000000000000000",
                "127", "128", "-128", "-129", "255", "256", "0", "-1", "18446744073709551615", "18446744073709551616")) {
            BigDecimal value = new BigDecimal(decimal);
            Schema schema = Decimal.schema(value.scale());
            line("decimal.base64." + decimal, WITHOUT, schema, value);
            line("decimal.numeric." + decimal, NUMERIC, schema, value);
        }
        for (String zoned : List.of("2020-01-02T03:04:05Z", "2020-01-02T03:04:05.6Z", "2020-01-02T03:04:05.678901Z"))
            out.println("zoned." + zoned + "\tok\t"
                + ZonedTimestamp.toIsoString(java.time.OffsetDateTime.parse(zoned), java.time.ZoneOffset.UTC, null, null));
    }

    static void decode() {
        for (String text : Arrays.asList("", "null", "1", "\"x\"", "{\"a\":1}", "{\"schema\":null,\"payload\":1}",
                "{\"schema\":null,\"payload\":{\"a\":[1,2.5,\"x\",null,true,99999999999999999999]}}", "{\"payload\":1}",
                "{\"schema\":null,\"payload\":1,\"more\":2}", "{\"schema\":{},\"payload\":1}", "{\"schema\":{\"type\":\"int33\"},\"payload\":1}",
                "{\"schema\":{\"type\":\"struct\"},\"payload\":{}}", "{\"schema\":{\"type\":\"array\"},\"payload\":[]}", "{\"schema\":1,\"payload\":1}",
                "{\"schema\":{\"type\":\"map\",\"keys\":{\"type\":\"string\"}},\"payload\":{}}", "{\"schema\":{\"type\":\"struct\",\"fields\":[{\"type\":\"int32\"}]},\"payload\":{}}",
                "{\"payload\":{\"a\":1},\"schema\":{\"type\":\"struct\",\"fields\":[{\"type\":\"int32\",\"field\":\"a\"}]}}",
                "{\"schema\":{\"type\":\"int32\"},\"payload\":1}trailing", "\ufeff{\"schema\":{\"type\":\"int32\"},\"payload\":1}", "{\"schema\":"))
            read("read.with", WITH, text);
        for (String text : Arrays.asList("", "null", "1", "1.9", "\"x\"", "[1,\"a\",{}]", "{\"a\":{\"b\":null}}", "1 2", "tru", "{\"a\":1,\"a\":2}", "18446744073709551615"))
            read("read.without", WITHOUT, text);
        Map<String, List<String>> cases = new LinkedHashMap<>();
        cases.put("\"boolean\"", List.of("true", "1", "\"true\"", "null"));
        for (String type : List.of("\"int8\"", "\"int16\"", "\"int32\"", "\"int64\""))
            cases.put(type, List.of("1", "\"5\"", "1.9", "-1.9", "300", "70000", "3000000000", "-9223372036854775809", "18446744073709551615", "1e3", "1e30", "true", "[1]", "{}"));
        for (String type : List.of("\"float\"", "\"double\"")) cases.put(type, List.of("1", "0.1", "1e400", "\"1.5\"", "\"NaN\"", "true"));
        cases.put("\"string\"", List.of("\"x\"", "1", "true", "{}", "null"));
        cases.put("\"bytes\"", List.of("\"AQI=\"", "\"AQI\"", "\"%%\"", "1", "\"\""));
        cases.put("\"array\",\"items\":{\"type\":\"int32\",\"optional\":true}", List.of("[]", "[1,null]", "1", "{\"a\":1}", "\"x\""));
        cases.put("\"map\",\"keys\":{\"type\":\"string\"},\"values\":{\"type\":\"int32\"}", List.of("{\"a\":1}", "[]", "1"));
        cases.put("\"map\",\"keys\":{\"type\":\"int32\"},\"values\":{\"type\":\"int32\"}", List.of("[[1,2]]", "{}", "[1]", "[[1]]"));
        cases.put("\"struct\",\"fields\":[{\"type\":\"int32\",\"field\":\"a\"},{\"type\":\"string\",\"optional\":true,\"field\":\"b\"}]",
            List.of("{\"a\":1,\"b\":\"x\",\"c\":[{}]}", "{\"a\":1}", "{\"b\":\"x\"}", "{\"a\":null}", "[]", "1", "null"));
        cases.put("\"bytes\",\"name\":\"org.apache.kafka.connect.data.Decimal\",\"parameters\":{\"scale\":\"2\"}", List.of("\"AN4=\"", "1.5", "1", "true", "\"\"", "1e3"));
        cases.put("\"int32\",\"name\":\"org.apache.kafka.connect.data.Date\"", List.of("1", "\"1\"", "1.5"));
        cases.put("\"int32\",\"default\":7", List.of("null", "1"));
        cases.put("\"int32\",\"parameters\":{\"a\":1}", List.of("1"));
        cases.put("\"int32\",\"version\":\"x\",\"name\":5,\"optional\":\"y\"", List.of("1", "null"));
        cases.forEach((type, values) -> values.forEach(value -> read("read.type", WITH, "{\"schema\":{\"type\":" + type + "},\"payload\":" + value + "}")));
    }

    public static void main(String[] args) throws Exception {
        out = new PrintStream(args[0] + "/encode.tsv", StandardCharsets.UTF_8);
        encode();
        out.close();
        out = new PrintStream(args[0] + "/decode.tsv", StandardCharsets.UTF_8);
        decode();
        out.close();
    }
}
