// Creates the tables and the shop: one country, one tax, one shipping method, one payment method, the products of a file.
const { config, shop } = require("./config.js");
const { bootstrap } = require("@vendure/core");
const { populate } = require("@vendure/core/cli");

const creating = { ...config, dbConnectionOptions: { ...config.dbConnectionOptions, synchronize: true } };
const initialData = {
    defaultLanguage: "en",
    defaultZone: "Europe",
    roles: [],
    countries: [{ name: "United Kingdom", code: "GB", zone: "Europe" }],
    taxRates: [{ name: "Standard Tax", percentage: 20 }],
    shippingMethods: [{ name: "Standard", price: 500 }],
    paymentMethods: [
        {
            name: "Instant",
            handler: { code: "dummy-payment-handler", arguments: [{ name: "automaticSettle", value: "true" }] },
        },
    ],
    collections: [],
};

populate(() => bootstrap(creating), initialData, shop.products)
    .then((app) => app.close())
    .then(() => process.exit(0))
    .catch((error) => {
        console.error(error);
        process.exit(1);
    });
