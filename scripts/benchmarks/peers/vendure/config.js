// The default set-up of `npx @vendure/create` for PostgreSQL, without the plugins that serve no checkout (assets, e-mail,
// dashboard). The only argument of each process is a JSON file: {"port": ..., "database": {...}, "products": "file.csv"}.
const { readFileSync } = require("node:fs");

// Nothing is reported to Vendure's makers, and nothing is written into the folder from which the bench was started.
process.env.VENDURE_DISABLE_TELEMETRY = "true";
process.chdir(__dirname);

const {
    DefaultJobQueuePlugin,
    DefaultLogger,
    DefaultSchedulerPlugin,
    DefaultSearchPlugin,
    LogLevel,
    dummyPaymentHandler,
} = require("@vendure/core");

const shop = JSON.parse(readFileSync(process.argv[2], "utf8"));

const config = {
    apiOptions: { hostname: "127.0.0.1", port: shop.port, adminApiPath: "admin-api", shopApiPath: "shop-api" },
    authOptions: { tokenMethod: ["bearer", "cookie"] },
    dbConnectionOptions: { type: "postgres", synchronize: false, logging: false, ...shop.database },
    // Instantly paid: the payment method has `automaticSettle`.
    paymentOptions: { paymentMethodHandlers: [dummyPaymentHandler] },
    logger: new DefaultLogger({ level: LogLevel.Error }),
    plugins: [
        DefaultSchedulerPlugin.init(),
        DefaultJobQueuePlugin.init({ useDatabaseForBuffer: true }),
        DefaultSearchPlugin.init({ bufferUpdates: false, indexStockStatus: true }),
    ],
};

module.exports = { config, shop };
