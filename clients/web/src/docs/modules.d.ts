// What comes without types, or with types of React that are not ours.

declare module "@asyncapi/react-component/lib/esm/without-parser" {
  import type { ComponentType } from "preact";
  const AsyncApiComponent: ComponentType<{ schema: unknown; config?: object }>;
  export default AsyncApiComponent;
}

declare module "swagger-ui-dist/swagger-ui-es-bundle.js" {
  interface SwaggerUi {
    getSystem(): { layoutActions: { show(thing: string[], shown: boolean): void } };
  }
  export default function createSwaggerUi(options: object): SwaggerUi;
}

declare module "@asyncapi/parser/esm/*";
